#pragma once

#include <cstdint>

#include "base/tensor_view.h"
#include "kernels/kernel.h"
#include "kernels/latent_cache.h"
#include "kernels/weight_matrix.h"

namespace hadal {

/// How attention is computed; all forms give the same values up to rounding.
enum class MlaForm : int8_t {
  kAuto,          // per sequence, whichever needs fewer operations
  kMaterialised,  // keys and values of every head are expanded from the latents
  kAbsorbed,      // kv_b_proj is folded into queries and outputs; heads share the latents
};

/// kv_b_proj: one matrix as published, or quantised in two, so that both products of the absorbed
/// form run along rows. A head's part of either begins at a panel of its own, RoundUpToPanel
/// (kernels/quantization/panels.h) of its rows after the one before.
struct KvUpWeights {
  WeightMatrix whole;   // [num_heads * (nope_dim + v_head_dim), kv_lora_rank]; or, when quantised,
  WeightMatrix keys;    // [num_heads * padded kv_lora_rank, nope_dim]: U_hᵀ below
  WeightMatrix values;  // [num_heads * padded v_head_dim, kv_lora_rank]: V_h below

  [[nodiscard]] bool is_quantized() const { return keys.payload != nullptr; }
};

/// Causal attention of each sequence's query tokens over its cached rows. With U_h the first
/// qk_nope_head_dim rows of head h in kv_b_proj, V_h the other v_head_dim rows, c_s and k_s the
/// latent and the roped key at position s, and q = [q_nope, q_pe]:
///   score_h(t, s) = softmax_scale * (q_nope · (U_h c_s) + q_pe · k_s),  s <= positions[t]
///   out_h(t)      = sum_s softmax_s(score_h(t, s)) * (V_h c_s)
/// Quantised weights multiply U_hᵀ q_nope and V_h with inputs rounded to int8: q_nope, and the sum
/// of the latents; kAuto is then kAbsorbed, and kMaterialised is not possible. Source: DeepSeek-V2
/// (arXiv:2405.04434) section 2.1.2 and appendix C. Deterministic with kAbsorbed: a query token
/// with equal context gives equal bits on one back end, whatever other tokens are there. kAuto
/// chooses by their number and promises nothing. Query tokens of sequence i are rows
/// [query_starts[i], query_starts[i + 1]); the row at position p of sequence i is row p %
/// block_size of block block_tables[i, p / block_size]. REQUIRES: cache rows 0..positions[t] of a
/// sequence are written before the call.
struct MlaAttentionArgs {
  TensorView<const float, 3> q;  // [num_tokens, num_heads, nope_dim + rope_dim]
  LatentCache cache;
  TensorView<const int32_t, 1> query_starts;  // [num_sequences + 1], rising from 0 to num_tokens
  TensorView<const int32_t, 2> block_tables;  // [num_sequences, max_blocks]
  TensorView<const int32_t, 1> positions;     // [num_tokens], rising by one within a sequence
  KvUpWeights kv_b_proj;
  int64_t kv_lora_rank;
  int64_t v_head_dim;
  float softmax_scale;
  MlaForm form;
  TensorView<float, 3> out;  // [num_tokens, num_heads, v_head_dim]
};

void Validate(const MlaAttentionArgs& args);

}  // namespace hadal
