#pragma once

#include <cstdint>

#include "base/tensor_view.h"
#include "kernels/kernel.h"
#include "kernels/latent_cache.h"
#include "kernels/rope.h"
#include "kernels/weight_matrix.h"

namespace hadal {

/// The projections in front of attention. With q_lora_rank 0, q_a_proj and q_a_layernorm are empty
/// and q_b_proj is the checkpoint's single q_proj.
struct MlaProjectWeights {
  WeightMatrix q_a_proj;                      // [q_lora_rank, hidden_size]
  TensorView<const float, 1> q_a_layernorm;   // [q_lora_rank]
  WeightMatrix q_b_proj;                      // [num_heads * qk_head_dim, q_lora_rank]
  WeightMatrix kv_a_proj_with_mqa;            // [kv_lora_rank + rope_dim, hidden_size]
  TensorView<const float, 1> kv_a_layernorm;  // [kv_lora_rank]
};

/// For each token: queries, and its row of the latent cache.
///   q[t]              = q_b_proj · RMSNorm(q_a_proj · x[t]); the last rope_dim of each head roped
///   c, k_pe           = kv_a_proj_with_mqa · x[t]
///   cache[slots[t]]   = RMSNorm(c), RoPE(k_pe)
/// Source: DeepSeek-V2 (arXiv:2405.04434) section 2.1, equations 37 to 47.
/// Deterministic: equal rows give equal bits on one back end, whatever num_tokens is.
/// REQUIRES: slots are distinct and inside the cache; the heads of a token lie together in q.
struct MlaProjectArgs {
  TensorView<const float, 2> x;  // [num_tokens, hidden_size], after input_layernorm
  MlaProjectWeights weights;
  float rms_norm_eps;
  RopeAngles angles;                   // [num_tokens, rope_dim / 2]
  TensorView<const int64_t, 1> slots;  // [num_tokens]
  LatentCache cache;                   // written at slots
  TensorView<float, 3> q;              // [num_tokens, num_heads, qk_nope_head_dim + rope_dim]
};

void Validate(const MlaProjectArgs& args);

}  // namespace hadal
