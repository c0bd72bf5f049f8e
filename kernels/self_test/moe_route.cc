#include "kernels/self_test/moe_route.h"

namespace hadal::self_test {

MoeRouteProblem::MoeRouteProblem(const WeightSpec& spec, const MoeRouteShape& shape)
    : random(static_cast<uint32_t>(shape.num_experts + shape.num_tokens)),
      x(shape.num_tokens, shape.hidden_size),
      gate(spec, shape.num_experts, shape.hidden_size, GateValues(shape)),
      bias(shape.topk_method == TopkMethod::kNoauxTc ? shape.num_experts : 0),
      expert_ids(shape.num_tokens, shape.top_k),
      weights(shape.num_tokens, shape.top_k) {
  x.Fill([this] { return static_cast<float>(random.Below(5) - 2) / 4; });
  bias.Fill([this] { return random.Uniform(-1.5F, 0.5F); });
  args = {.x = x.input(),
          .gate = gate.matrix(),
          .e_score_correction_bias = bias.input(),
          .scoring_func = shape.scoring_func,
          .topk_method = shape.topk_method,
          .n_group = shape.n_group,
          .topk_group = shape.topk_group,
          .norm_topk_prob = shape.norm_topk_prob,
          .routed_scaling_factor = 2.5F,
          .expert_ids = expert_ids.view(),
          .weights = weights.view()};
}

std::vector<float> MoeRouteProblem::GateValues(const MoeRouteShape& shape) {
  std::vector<float> values(static_cast<size_t>(shape.num_experts * shape.hidden_size));
  for (float& value : values) {
    value = static_cast<float>(random.Below(7) - 3) / 8;
  }
  return values;
}

void MoeRouteProblem::Reset() {
  expert_ids.Poison();
  weights.Poison();
}

void MoeRouteProblem::Run(const KernelTable& table, ExecutionContext& context) {
  Reset();
  Call(table, context);
}

std::vector<float> MoeRouteProblem::Outputs() const {
  std::vector<float> outputs;
  for (const int32_t id : expert_ids.Elements()) {
    outputs.push_back(static_cast<float>(id));
  }
  for (const float weight : weights.Elements()) {
    outputs.push_back(weight);
  }
  return outputs;
}

bool MoeRouteProblem::GuardsIntact() const {
  return x.GuardsIntact() && expert_ids.GuardsIntact() && weights.GuardsIntact();
}

}  // namespace hadal::self_test
