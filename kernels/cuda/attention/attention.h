#pragma once

// What the kernels of attention share. Each function launches one of them; those of tiles.cu and
// head_products.cu run on tensor cores and do not take everything.

#include "base/tensor_view.h"
#include "kernels/mla_attention.h"

namespace hadal::cuda {

/// Query tokens [first_token, first_token + num_tokens) of a call, and where their parts go: a part
/// is kPartPositions of a context (attention/plan.h), with its highest score, the sum of its
/// weights, and its weighted sum of latents. `q` and everything below begins at first_token.
struct Attention {
  const float* absorbed;  // U_hᵀ q_nope [num_tokens, num_heads, kv_lora_rank]
  const float* q_pe;      // [num_tokens, num_heads, rope_dim], strides as given
  int64_t q_token_stride;
  int64_t q_head_stride;
  LatentCache cache;
  int64_t row_bytes;
  const int32_t* query_starts;  // of the whole call
  int64_t num_sequences;
  const int32_t* block_tables;
  int64_t tables_stride;
  const int32_t* positions;  // [num_tokens]
  float softmax_scale;
  int64_t first_token;
  int64_t num_tokens;
  int64_t num_heads;
  int64_t num_parts;  // of the longest context that the tables have room for
  float* highest;     // [num_tokens, num_heads, num_parts]
  float* sums;        // [num_tokens, num_heads, num_parts]
  float* latents;     // [num_tokens, num_heads, num_parts, kv_lora_rank]
};

/// kv_b_proj, and how it is cut.
struct KvUp {
  KvUpWeights weights;
  int64_t nope_dim;
  int64_t kv_lora_rank;
  int64_t v_head_dim;
};

/// Fills the parts.
void AttendSimply(const Attention& attention);
bool TakesTiles(const Attention& attention);
void AttendTiles(const Attention& attention);

/// latents[t, h] = the parts of [t, h], joined in their order; [num_tokens, num_heads,
/// kv_lora_rank].
void JoinParts(const Attention& attention, float* latents);

/// absorbed[t, h] = U_hᵀ q_nope[t, h].
void AbsorbSimply(const KvUp& up,
                  const TensorView<const float, 3>& q_nope,
                  const TensorView<float, 3>& absorbed);
/// out[t, h] = V_h latents[t, h].
void ProjectSimply(const KvUp& up,
                   const TensorView<const float, 3>& latents,
                   const TensorView<float, 3>& out);

bool TakesHeadProducts(const KvUp& up);
void AbsorbByTiles(const KvUp& up,
                   const TensorView<const float, 3>& q_nope,
                   const TensorView<float, 3>& absorbed);
void ProjectByTiles(const KvUp& up,
                    const TensorView<const float, 3>& latents,
                    const TensorView<float, 3>& out);
/// The same of parts, of which there are at most kMostJoinedParts, with the bits of JoinParts and
/// ProjectByTiles.
void ProjectPartsByTiles(const KvUp& up,
                         const Attention& attention,
                         const TensorView<float, 3>& out);

}  // namespace hadal::cuda
