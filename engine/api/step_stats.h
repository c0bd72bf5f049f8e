#pragma once

#include <cstdint>
#include <vector>

namespace hadal {

/// What a step asked of the model: which experts were busy, and what it had to compute and to read
/// at least. Counts are exact; operations and bytes are estimates from shapes, whose formulas are
/// in engine/step_cost.h. All 0 from an executor without a model, but for tokens of the context.
struct StepStats {
  int64_t num_moe_layers = 0;
  int64_t n_routed_experts = 0;
  std::vector<int32_t> expert_tokens = {};  // [num_moe_layers * n_routed_experts] of this step
  int64_t num_active_experts = 0;           // that got a token, of all layers together

  int64_t context_tokens = 0;     // cached ones of the step's sequences, its own included
  int64_t attended_tokens = 0;    // by all query tokens together, in one layer
  int64_t attendable_tokens = 0;  // that causality allows: more when attention is sparse
  int64_t num_logits_rows = 0;

  double flops = 0;                // of matrix products and attention; a multiply-add counts as two
  int64_t weight_bytes = 0;        // read once each: without experts that got no token
  int64_t total_weight_bytes = 0;  // what a step reads that needs all experts, and the head
  int64_t cache_bytes = 0;         // read once by each sequence

  /// Shares in [0, 1]; 0 without experts, or without weights.
  [[nodiscard]] double active_expert_share() const {
    return Share(num_active_experts, num_moe_layers * n_routed_experts);
  }
  [[nodiscard]] double active_weight_share() const {
    return Share(weight_bytes, total_weight_bytes);
  }

 private:
  static double Share(int64_t part, int64_t whole) {
    return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
  }
};

}  // namespace hadal
