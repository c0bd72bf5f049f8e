#pragma once

#include <cstdint>
#include <optional>

#include "base/tensor_view.h"
#include "kernels/kernel.h"
#include "kernels/mlp.h"

namespace hadal {

/// y[t, :] += sum_k weights[t, k] * mlp(experts[expert_ids[t, k]], x[t, :]): the routed experts,
/// each weighted after its down projection, and the shared ones as they are (DeepSeek-V3,
/// arXiv:2412.19437, equation 12). No token is dropped, whatever the load. REQUIRES: ids within [0,
/// n_routed_experts), distinct in a row; x and y do not overlap. Deterministic: equal rows give
/// equal bits on one back end, whatever num_tokens is.
struct MoeExpertsArgs {
  TensorView<const float, 2> x;                   // [num_tokens, hidden_size]
  TensorView<const int32_t, 2> expert_ids;        // [num_tokens, num_experts_per_tok]
  TensorView<const float, 2> weights;             // [num_tokens, num_experts_per_tok]
  TensorView<const MlpWeights, 1> experts;        // [n_routed_experts], all of equal shapes
  std::optional<MlpWeights> shared_experts = {};  // one network of their summed width
  TensorView<float, 2> y;                         // [num_tokens, hidden_size]
};

void Validate(const MoeExpertsArgs& args);

}  // namespace hadal
