#include "engine/model/expert_load.h"

#include <algorithm>

#include "base/check.h"

namespace hadal {

ExpertLoad::ExpertLoad(const ModelConfig& config) : n_routed_experts_(config.n_routed_experts) {
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    num_moe_layers_ += config.IsMoeLayer(layer) ? 1 : 0;
  }
  tokens_.resize(static_cast<size_t>(num_moe_layers_ * n_routed_experts_));
}

void ExpertLoad::Count(const TensorView<const int32_t, 3>& expert_ids) {
  CHECK_EQ(expert_ids.extent(0), num_moe_layers_);
  std::fill(tokens_.begin(), tokens_.end(), 0);
  for (int64_t layer = 0; layer < num_moe_layers_; ++layer) {
    int32_t* const tokens = tokens_.data() + layer * n_routed_experts_;
    for (int64_t t = 0; t < expert_ids.extent(1); ++t) {
      for (const int32_t expert : expert_ids.Row(layer, t)) {
        ++tokens[expert];
      }
    }
  }
}

}  // namespace hadal
