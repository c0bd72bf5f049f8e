#include "kernels/self_test/moe_experts.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/self_test/bounds.h"

namespace hadal::self_test {

MoeExpertsProblem::MoeExpertsProblem(const WeightSpec& spec, const MoeExpertsShape& shape)
    : random(static_cast<uint32_t>(shape.num_tokens * 13 + shape.top_k)),
      x(shape.num_tokens, shape.hidden_size),
      expert_ids(shape.num_tokens, shape.top_k),
      weights(shape.num_tokens, shape.top_k),
      y(shape.num_tokens, shape.hidden_size) {
  for (int64_t i = 0; i < shape.num_experts; ++i) {
    mlps.emplace_back(spec, shape.hidden_size, shape.intermediate_size, random);
    experts.push_back(mlps.back().weights());
  }
  if (shape.shared_size > 0) {
    shared.emplace(spec, shape.hidden_size, shape.shared_size, random);
  }
  x.Fill([this] { return random.Normal(); });
  y.Fill([this] { return random.Normal(); });
  weights.Fill([this] { return random.Uniform(0.0F, 1.0F); });
  start = y.Elements();
  for (int64_t t = 0; t < shape.num_tokens; ++t) {
    ChooseExperts(shape, t);
  }
}

void MoeExpertsProblem::ChooseExperts(const MoeExpertsShape& shape, int64_t token) {
  std::vector<int32_t> order = random.Permutation(shape.num_experts);
  if (shape.load == ExpertChoice::kOneExpert) {
    std::swap(order[0], *std::find(order.begin(), order.end(), 2));
  }
  for (int64_t k = 0; k < shape.top_k; ++k) {
    const int64_t last = shape.num_experts - 1 - (k + token) % shape.top_k;
    expert_ids.view()(token, k) = shape.load == ExpertChoice::kLastExperts
                                      ? static_cast<int32_t>(last)
                                      : order[static_cast<size_t>(k)];
  }
}

void MoeExpertsProblem::Reset() {
  size_t i = 0;
  y.Fill([&] { return start[i++]; });
}

bool MoeExpertsProblem::GuardsIntact() const {
  return x.GuardsIntact() && expert_ids.GuardsIntact() && weights.GuardsIntact() &&
         y.GuardsIntact();
}

std::vector<float> MoeExpertsProblem::Run(const KernelTable& table, ExecutionContext& context) {
  Reset();
  Call(table, context);
  return Outputs();
}

std::vector<double> MoeExpertsProblem::Tolerances(const std::vector<float>& /*expected*/) const {
  std::vector<double> tolerances;
  const int64_t top_k = expert_ids.view().extent(1);
  // Shared experts may be added one by one.
  const int64_t num_shared =
      shared.has_value() ? shared->weights().gate_proj.rows / experts[0].gate_proj.rows + 1 : 0;
  const double rounding = static_cast<double>(top_k + num_shared + 3) * kUnit;
  for (int64_t t = 0; t < x.view().extent(0); ++t) {
    std::vector<double> row(static_cast<size_t>(x.view().extent(1)), 0.0);
    for (int64_t k = 0; k < top_k; ++k) {
      const auto expert = static_cast<size_t>(expert_ids.view()(t, k));
      const MlpBounds bounds = mlps[expert].BoundsFor(x.input().Row(t));
      for (size_t i = 0; i < row.size(); ++i) {
        row[i] +=
            double{weights.view()(t, k)} * (bounds.tolerances[i] + rounding * bounds.magnitudes[i]);
      }
    }
    if (shared.has_value()) {
      const MlpBounds bounds = shared->BoundsFor(x.input().Row(t));
      for (size_t i = 0; i < row.size(); ++i) {
        row[i] += bounds.tolerances[i] + rounding * bounds.magnitudes[i];
      }
    }
    for (const double tolerance : row) {
      tolerances.push_back(tolerance + rounding * std::abs(start[tolerances.size()]));
    }
  }
  return tolerances;
}

}  // namespace hadal::self_test
