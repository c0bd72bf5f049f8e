#pragma once

#include <cstdint>
#include <span>

#include "base/dtype.h"
#include "engine/api/step_stats.h"
#include "engine/checkpoint/model_config.h"
#include "engine/model/weights.h"

namespace hadal {

/// What steps of a model cost at least, estimated from shapes:
///
///   flops        = 2 · num_tokens · (elements of all matrices of the layers, without experts)
///                + 2 · (expert tokens) · (elements of an expert)
///                + 2 · num_logits_rows · (elements of the head)
///                + 2 · attended_tokens · layers · num_heads · (2 · kv_lora_rank + rope_dim)
///   weight_bytes = bytes of all matrices of the layers, without experts
///                + (experts that got a token) · (bytes of an expert)
///                + bytes of the head, when any logits are computed
///   cache_bytes  = context_tokens · layers · (bytes of a cache row)
///
/// Attention is that of the absorbed form, whose work on kv_b_proj for each token equals the number
/// of its elements. Bytes are those of the formats that are stored, scales included; norms, biases
/// and the embedding's rows are left out. Any thread.
class StepCost {
 public:
  StepCost(const ModelConfig& config, const Weights& weights, DType cache_dtype);

  struct Work {
    int64_t num_tokens;
    int64_t num_logits_rows;
    int64_t attended_tokens;
    int64_t context_tokens;
    std::span<const int32_t> expert_tokens;  // [num_moe_layers, n_routed_experts]
  };

  /// Fills all of `stats`. Allocates only when expert_tokens has less room than it needs.
  void Estimate(const Work& work, StepStats& stats) const;

 private:
  struct Size {
    int64_t num_elements = 0;
    int64_t num_bytes = 0;
  };
  static void Add(const WeightMatrix& matrix, Size& size);

  int64_t num_moe_layers_ = 0;
  int64_t n_routed_experts_;
  Size layers_;  // of all layers, without routed experts
  Size expert_;  // of one
  Size head_;
  int64_t attention_elements_;  // of all layers, for each attended token
  int64_t cache_token_bytes_;   // in all layers
};

}  // namespace hadal
