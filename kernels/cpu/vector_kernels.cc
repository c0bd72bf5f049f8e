#include "kernels/cpu/vector_kernels.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"

#ifdef __x86_64__
#include <cpuid.h>
#endif

namespace hadal::cpu {
namespace {

#ifdef __x86_64__
// True when the CPU has AMX with int8 and bf16 products, and the kernel has granted this process
// the tile registers, whose state it saves only for those who ask (Linux,
// Documentation/x86/xstate.rst).
bool RequestAmx() {
  constexpr uint32_t kAmxBits = 1U << 22U | 1U << 24U | 1U << 25U;  // bf16, tile, int8
  constexpr int64_t kRequestPermission = 0x1023;                    // ARCH_REQ_XCOMP_PERM
  constexpr int64_t kTileData = 18;                                 // XFEATURE_XTILEDATA
  uint32_t eax = 0;
  uint32_t ebx = 0;
  uint32_t ecx = 0;
  uint32_t edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (edx & kAmxBits) == kAmxBits &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#endif

}  // namespace

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
             __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
             __builtin_cpu_supports("avx512vnni") != 0;
    case Isa::kAmx:
      return IsSupported(Isa::kAvx512) && RequestAmx();
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
    case Isa::kAmx:
      return AmxKernels();
#else
    default:
      break;
#endif
  }
  CHECK(false);
}

}  // namespace hadal::cpu
