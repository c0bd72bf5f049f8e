#pragma once

#include "kernels/cpu/attention/lane_kernels.h"
#include "kernels/latent_cache.h"

namespace hadal::cpu {

/// VectorKernels.lanes of cpu-amx on emulated tiles, with its own vectors. REQUIRES: IsSupported of
/// Isa::kAvx512.
LaneKernels EmulatedAvx512Lanes(const LatentCache& cache);

}  // namespace hadal::cpu
