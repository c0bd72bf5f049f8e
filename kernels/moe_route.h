#pragma once

#include <cstdint>

#include "base/tensor_view.h"
#include "kernels/kernel.h"
#include "kernels/weight_matrix.h"

namespace hadal {

/// config.json `scoring_func`: how router logits become scores.
enum class ScoringFunc : int8_t { kSoftmax, kSigmoid };

/// config.json `topk_method`: how scores choose experts.
enum class TopkMethod : int8_t { kGreedy, kGroupLimitedGreedy, kNoauxTc };

/// The gate of a mixture-of-experts layer, for each token t:
///   scores       = softmax or sigmoid of gate · x[t], over all experts
///   choice       = scores, plus the bias with kNoauxTc
///   groups       : kGreedy looks at none; kGroupLimitedGreedy keeps the topk_group groups with the
///                  highest maximum of choice, kNoauxTc those with the highest sum of their two
///                  best; experts of other groups can't be chosen
///   expert_ids   = the experts with the highest choice, in falling order; ties to the lower id
///   weights      = scores of those (never the bias), divided by (their sum + 1e-20) when
///                  norm_topk_prob, times routed_scaling_factor
/// With softmax scores the scaling factor applies only when the weights are not normalised, as
/// DeepSeek-V2 published it.
/// Logits accumulate in float32 or wider. NaN counts as lower than any number, so that even a
/// broken row chooses num_experts_per_tok distinct experts. Deterministic: equal rows give equal
/// bits on one back end, whatever num_tokens is. Source: DeepSeek-V2 (arXiv:2405.04434) section
/// 2.2.2; DeepSeek-V3 (arXiv:2412.19437) section 2.1.2.
struct MoeRouteArgs {
  TensorView<const float, 2> x;                        // [num_tokens, hidden_size]
  WeightMatrix gate;                                   // [n_routed_experts, hidden_size]
  TensorView<const float, 1> e_score_correction_bias;  // [n_routed_experts] with kNoauxTc
  ScoringFunc scoring_func;
  TopkMethod topk_method;
  int64_t n_group;
  int64_t topk_group;
  bool norm_topk_prob;
  float routed_scaling_factor;
  TensorView<int32_t, 2> expert_ids;  // [num_tokens, num_experts_per_tok]
  TensorView<float, 2> weights;       // [num_tokens, num_experts_per_tok]
};

void Validate(const MoeRouteArgs& args);

}  // namespace hadal
