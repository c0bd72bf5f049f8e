#include "engine/checkpoint/model_config.h"

namespace hadal {

bool ModelConfig::IsMoeLayer(int64_t layer) const {
  if (n_routed_experts == 0) {
    return false;
  }
  return layer >= num_hidden_layers ||
         (layer >= first_k_dense_replace && layer % moe_layer_freq == 0);
}

}  // namespace hadal
