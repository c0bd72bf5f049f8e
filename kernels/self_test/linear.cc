#include "kernels/self_test/linear.h"

#include <cmath>

#include "kernels/self_test/bounds.h"

namespace hadal::self_test {

LinearProblem::LinearProblem(const WeightSpec& spec, const LinearShape& shape)
    : random(static_cast<uint32_t>(shape.num_tokens * 31 + shape.in)),
      output(shape.output),
      x(shape.num_tokens, shape.in),
      weight(WeightBuffer::MakeRandom(spec, shape.out, shape.in, random)),
      y(shape.num_tokens, shape.out) {
  x.Fill([this] { return random.Normal(); });
  start.resize(static_cast<size_t>(shape.num_tokens * shape.out));
  for (float& value : start) {
    value = random.Normal();
  }
}

void LinearProblem::Reset() {
  y.Poison();
  if (output == Output::kAdd) {
    size_t i = 0;
    y.Fill([&] { return start[i++]; });
  }
}

std::vector<double> LinearProblem::Tolerances(const std::vector<float>& expected) const {
  const std::vector<double> row_norms = RowNorms(weight.matrix());
  std::vector<double> tolerances;
  for (int64_t t = 0; t < x.view().extent(0); ++t) {
    const double x_norm =
        Norm(RoundedInput(weight.matrix().format, std::span<const float>(x.input().Row(t))));
    for (const double row_norm : row_norms) {
      const size_t i = tolerances.size();
      const double result = std::abs(double{expected[i]}) + std::abs(double{start[i]});
      tolerances.push_back(Gamma(weight.matrix()) * x_norm * row_norm + 2 * kUnit * result);
    }
  }
  return tolerances;
}

}  // namespace hadal::self_test
