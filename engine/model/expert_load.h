#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/tensor_view.h"
#include "engine/checkpoint/model_config.h"

namespace hadal {

/// Counts the tokens that each routed expert of each layer got in a step. One thread.
class ExpertLoad {
 public:
  explicit ExpertLoad(const ModelConfig& config);

  /// Counts `expert_ids` [num_moe_layers, num_tokens, num_experts_per_tok] of the next step.
  void Count(const TensorView<const int32_t, 3>& expert_ids);

  [[nodiscard]] int64_t num_moe_layers() const { return num_moe_layers_; }
  [[nodiscard]] int64_t n_routed_experts() const { return n_routed_experts_; }
  /// [num_moe_layers, n_routed_experts]
  [[nodiscard]] std::span<const int32_t> tokens() const { return tokens_; }

 private:
  int64_t num_moe_layers_ = 0;
  int64_t n_routed_experts_;
  std::vector<int32_t> tokens_;
};

}  // namespace hadal
