#include "kernels/cpu/attention/amx_lanes.h"
#include "kernels/cpu/avx512_simd.h"
#include "tests/kernels/cpu/emulated_lanes.h"
#include "tests/kernels/cpu/emulated_tiles.h"

namespace hadal::cpu {

LaneKernels EmulatedAvx512Lanes(const LatentCache& cache) {
  return AmxLanes<EmulatedTiles<Avx512Simd>, Avx512Simd>::KernelsOf(cache);
}

}  // namespace hadal::cpu
