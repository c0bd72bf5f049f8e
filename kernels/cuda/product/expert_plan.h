#pragma once

#include <cstdint>

#include "kernels/cuda/product/gated.h"

namespace hadal::cuda {

/// Tiles of the pairs of `expert_ids` [num_tokens, top_k], which lie on the device, sorted by
/// expert there unless they are few. REQUIRES: ids within [0, num_experts).
ExpertTiles PlanExperts(const TensorView<const int32_t, 2>& expert_ids,
                        int64_t num_experts,
                        Scratch& scratch);

}  // namespace hadal::cuda
