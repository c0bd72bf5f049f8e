#include "kernels/self_test/rms_norm.h"

#include <cmath>

#include "kernels/self_test/bounds.h"

namespace hadal::self_test {

RmsNormProblem::RmsNormProblem(int64_t num_tokens, int64_t hidden_size)
    : x(num_tokens, hidden_size), weight(hidden_size), y(num_tokens, hidden_size) {
  Random random(static_cast<uint32_t>(num_tokens * 17 + hidden_size));
  x.Fill([&] { return 3 * random.Normal(); });
  weight.Fill([&] { return 1 + random.Normal() / 4; });
}

bool RmsNormProblem::GuardsIntact() const {
  return x.GuardsIntact() && weight.GuardsIntact() && y.GuardsIntact();
}

std::vector<double> RmsNormProblem::Tolerances(const std::vector<float>& expected) const {
  const double relative = Gamma(weight.view().extent(0)) / 2 + 6 * kUnit;
  std::vector<double> tolerances;
  tolerances.reserve(expected.size());
  for (const float value : expected) {
    tolerances.push_back(relative * std::abs(double{value}));
  }
  return tolerances;
}

}  // namespace hadal::self_test
