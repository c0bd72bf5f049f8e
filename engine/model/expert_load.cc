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

void ExpertLoad::Clear() {
  num_counted_layers_ = 0;
  std::fill(tokens_.begin(), tokens_.end(), 0);
}

void ExpertLoad::CountLayer(const TensorView<const int32_t, 2>& expert_ids) {
  CHECK_LT(num_counted_layers_, num_moe_layers_);
  int32_t* tokens = tokens_.data() + num_counted_layers_ * n_routed_experts_;
  ++num_counted_layers_;
  for (int64_t t = 0; t < expert_ids.extent(0); ++t) {
    for (const int32_t expert : expert_ids.Row(t)) {
      ++tokens[expert];
    }
  }
}

}  // namespace hadal
