#include "engine/model/decoder_layer.h"
#include "engine/model/device_step.h"

namespace hadal {

void MoeLayer(const MoeWeights& weights,
              const Step& step,
              const TensorView<const float, 2>& normed,
              const TensorView<float, 2>& x) {
  const ModelConfig& config = step.config;
  ScratchArena& scratch = step.context.scratch;
  const ScratchScope scope(scratch);
  const auto expert_ids =
      step.expert_log != nullptr
          ? step.expert_log->NextLayer()
          : scratch.Allocate<int32_t>(step.num_tokens(), config.num_experts_per_tok);
  const auto expert_weights =
      scratch.Allocate<float>(step.num_tokens(), config.num_experts_per_tok);

  step.kernels.moe_route({.x = normed,
                          .gate = weights.gate,
                          .e_score_correction_bias = weights.e_score_correction_bias,
                          .scoring_func = config.scoring_func,
                          .topk_method = config.topk_method,
                          .n_group = config.n_group,
                          .topk_group = config.topk_group,
                          .norm_topk_prob = config.norm_topk_prob,
                          .routed_scaling_factor = config.routed_scaling_factor,
                          .expert_ids = expert_ids,
                          .weights = expert_weights},
                         step.context);
  step.kernels.moe_experts(
      {.x = normed,
       .expert_ids = expert_ids,
       .weights = expert_weights,
       .experts = MakeView(weights.experts.data(), std::ssize(weights.experts)),
       .shared_experts = weights.shared_experts,
       .y = x},
      step.context);
}

}  // namespace hadal
