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

MlpBounds RandomMlp::BoundsFor(std::span<const float> input) const {
  const WeightMatrix& gate = gate_.matrix();
  const WeightMatrix& down = down_.matrix();
  const std::vector<float> x = RoundedInput(gate.format, input);
  const double dot_error = Gamma(gate) * Norm(x);
  const std::vector<double> gate_norms = RowNorms(gate);
  const std::vector<double> up_norms = RowNorms(up_.matrix());
  Bounded hidden;
  for (int64_t i = 0; i < gate.rows; ++i) {
    const auto row = static_cast<size_t>(i);
    const double a = Dot(gate, i, x);
    const double b = Dot(up_.matrix(), i, x);
    const double silu = a / (1 + std::exp(-a));
    hidden.values.push_back(silu * b);
    hidden.errors.push_back(1.1 * dot_error * gate_norms[row] * std::abs(b) +
                            std::abs(silu) * dot_error * up_norms[row] +
                            8 * kUnit * std::abs(silu * b));
  }
  hidden = RoundedInput(down.format, hidden);
  MlpBounds bounds;
  for (const double row_norm : RowNorms(down)) {
    bounds.magnitudes.push_back(row_norm * Norm(hidden.values));
    bounds.tolerances.push_back(row_norm * Norm(hidden.errors) +
                                Gamma(down) * row_norm * Norm(hidden.values));
  }
  return bounds;
}

}  // namespace hadal::self_test
