#pragma once

#include <cstdint>

#include "kernels/cuda/product/gated.h"

namespace hadal::cuda {

/// Tiles of all pairs of `num_tokens` tokens, sorted by expert on the device unless they are few.
/// REQUIRES: ids within [0, num_routed).
ExpertTiles PlanExperts(const ExpertPairs& pairs, int64_t num_tokens, Scratch& scratch);

}  // namespace hadal::cuda
