#include "kernels/cpu/vector_kernels.h"

#include "base/check.h"

namespace hadal::cpu {

bool IsSupported(Isa isa) {
  switch (isa) {
    case Isa::kPortable:
      return true;
#ifdef __x86_64__
    case Isa::kAvx2:
      // F16C, which clang's builtin can't name, is older than AVX2 and in every CPU that has it.
      return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
    case Isa::kAvx512:
      return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
             __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0;
#else
    default:
      return false;
#endif
  }
  return false;
}

const VectorKernels& VectorKernelsOf(Isa isa) {
  switch (isa) {
    case Isa::kPortable:
      return PortableKernels();
#ifdef __x86_64__
    case Isa::kAvx2:
      return Avx2Kernels();
    case Isa::kAvx512:
      return Avx512Kernels();
#else
    default:
      break;
#endif
  }
  CHECK(false);
}

}  // namespace hadal::cpu
