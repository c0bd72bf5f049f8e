#pragma once

#include "kernels/cpu/attention/attention.h"

// The two products of the absorbed form with kv_b_proj, for all heads of consecutive tokens from
// `first_token` on. Each gives a row equal bits whatever rows are beside it.

namespace hadal::cpu {

/// Rows of kv_b_proj that a worker widens at a time: they fit the L1 cache.
inline constexpr int64_t kAbsorbedWeightRows = 16;

/// q_latent[t, h] = (U_hᵀ q_nope, q_pe) of token first_token + t: [num_tokens, num_heads,
/// row_width].
void AbsorbQueries(const Attention& attention,
                   int64_t first_token,
                   const TensorView<float, 3>& q_latent,
                   ExecutionContext& context);

/// out[first_token + t, h] = V_h · latents[t, h], with latents [num_tokens, num_heads, width]: the
/// first kv_lora_rank elements of a row count.
void ProjectValues(const Attention& attention,
                   int64_t first_token,
                   const TensorView<const float, 3>& latents,
                   ExecutionContext& context);

}  // namespace hadal::cpu
