#include "kernels/cpu/portable_simd.h"
#include "kernels/cpu/vector_loops.h"

namespace hadal::cpu {

const VectorKernels& PortableKernels() {
  static constexpr VectorKernels kKernels =
      VectorLoops<PortableSimd<8, 4>>::Kernels("cpu-portable", &PortablePanels, nullptr);
  return kKernels;
}

}  // namespace hadal::cpu
