#include "kernels/cpu/amx/hardware_tiles.h"
#include "kernels/cpu/attention/amx_lanes.h"
#include "kernels/cpu/avx512_simd.h"
#include "kernels/cpu/vector_loops.h"

namespace hadal::cpu {

const VectorKernels& Avx512Kernels() {
  static constexpr VectorKernels kKernels =
      VectorLoops<Avx512Simd>::Kernels("cpu-avx512", &Avx512Panels, nullptr);
  return kKernels;
}

const VectorKernels& AmxKernels() {
  static constexpr VectorKernels kKernels = [] {
    VectorKernels kernels = VectorLoops<Avx512Simd>::Kernels("cpu-amx", &AmxPanels, &AmxTiles);
    kernels.lanes = &AmxLanes<HardwareTiles, Avx512Simd>::KernelsOf;
    return kernels;
  }();
  return kKernels;
}

}  // namespace hadal::cpu
