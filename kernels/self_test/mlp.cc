#include "kernels/self_test/mlp.h"

#include <cmath>

#include "kernels/self_test/bounds.h"

namespace hadal::self_test {

MlpProblem::MlpProblem(const WeightSpec& spec, const MlpShape& shape)
    : random(static_cast<uint32_t>(shape.num_tokens * 7 + shape.hidden_size)),
      mlp(spec, shape.hidden_size, shape.intermediate_size, random),
      x(shape.num_tokens, shape.hidden_size),
      y(shape.num_tokens, shape.hidden_size) {
  x.Fill([this] { return random.Normal(); });
  y.Fill([this] { return random.Normal(); });
  start = y.Elements();
}

void MlpProblem::Reset() {
  size_t i = 0;
  y.Fill([&] { return start[i++]; });
}

std::vector<float> MlpProblem::Run(const KernelTable& table, ExecutionContext& context) {
  Reset();
  Call(table, context);
  return Outputs();
}

std::vector<double> MlpProblem::Tolerances(const std::vector<float>& /*expected*/) const {
  std::vector<double> tolerances;
  for (int64_t t = 0; t < x.view().extent(0); ++t) {
    const MlpBounds bounds = mlp.BoundsFor(x.input().Row(t));
    for (size_t i = 0; i < bounds.tolerances.size(); ++i) {
      const double result = bounds.magnitudes[i] + std::abs(start[tolerances.size()]);
      tolerances.push_back(bounds.tolerances[i] + 2 * kUnit * result);
    }
  }
  return tolerances;
}

}  // namespace hadal::self_test
