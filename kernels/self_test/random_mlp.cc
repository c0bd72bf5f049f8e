#include "kernels/self_test/random_mlp.h"

#include <cmath>

#include "kernels/self_test/bounds.h"

namespace hadal::self_test {
namespace {

double Dot(const WeightMatrix& weight, int64_t row, std::span<const float> x) {
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    sum += double{WeightAt(weight, row, static_cast<int64_t>(i))} * double{x[i]};
  }
  return sum;
}

}  // namespace

MlpBounds RandomMlp::BoundsFor(std::span<const float> x) const {
  const int64_t intermediate_size = gate_.matrix().rows;
  const double dot_error = Gamma(std::ssize(x)) * Norm(x);
  const std::vector<double> gate_norms = RowNorms(gate_.matrix());
  const std::vector<double> up_norms = RowNorms(up_.matrix());
  std::vector<double> hidden;
  std::vector<double> hidden_errors;
  for (int64_t i = 0; i < intermediate_size; ++i) {
    const auto row = static_cast<size_t>(i);
    const double a = Dot(gate_.matrix(), i, x);
    const double b = Dot(up_.matrix(), i, x);
    const double silu = a / (1 + std::exp(-a));
    hidden.push_back(silu * b);
    hidden_errors.push_back(1.1 * dot_error * gate_norms[row] * std::abs(b) +
                            std::abs(silu) * dot_error * up_norms[row] +
                            8 * kUnit * std::abs(silu * b));
  }
  MlpBounds bounds;
  for (const double row_norm : RowNorms(down_.matrix())) {
    bounds.magnitudes.push_back(row_norm * Norm(hidden));
    bounds.tolerances.push_back(row_norm * Norm(hidden_errors) +
                                Gamma(intermediate_size) * row_norm * Norm(hidden));
  }
  return bounds;
}

}  // namespace hadal::self_test
