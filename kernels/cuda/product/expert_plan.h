#pragma once

#include "kernels/cuda/product/gated.h"

namespace hadal::cuda {

/// Pairs of a token and one of its experts, sorted by expert on the device.
struct ExpertPlan {
  const int32_t* tokens;     // [num_pairs] the token of each place
  const int32_t* positions;  // [num_tokens, num_experts_per_tok] the place of each pair
  ExpertTiles tiles;
};

/// REQUIRES: ids within [0, num_experts).
ExpertPlan PlanExperts(const TensorView<const int32_t, 2>& expert_ids,
                       int64_t num_experts,
                       Scratch& scratch);

/// y[t] += the sum over k of weights[t, k] * rows[positions[t, k]], in the order of k.
void CombineExperts(const TensorView<const float, 2>& rows,
                    const int32_t* positions,
                    const TensorView<const float, 2>& weights,
                    const TensorView<float, 2>& y);

}  // namespace hadal::cuda
