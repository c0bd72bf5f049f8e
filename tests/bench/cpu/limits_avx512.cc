#include <array>
#include <immintrin.h>

#include "tests/bench/cpu/limits.h"

namespace hadal::bench {

// As in limits_avx2.cc.
double RunFloatAvx512(int64_t iterations) {
  constexpr int kChains = 12;
  __m512 sums[kChains];  // NOLINT(*-avoid-c-arrays)
  for (__m512& sum : sums) {
    sum = _mm512_setzero_ps();
  }
  const __m512 factor = _mm512_set1_ps(0.5F);
  for (int64_t i = 0; i < iterations; ++i) {
    for (__m512& sum : sums) {
      sum = _mm512_fmadd_ps(factor, factor, sum);
      asm volatile("" : "+v"(sum));
    }
  }
  return static_cast<double>(iterations) * kChains * 16 * 2;
}

// In assembly: GCC 12 copies and spills the sums of the intrinsic.
double RunInt8Vnni(int64_t iterations) {
  asm volatile("vpbroadcastb %0, %%zmm0" : : "r"(3) : "xmm0");
  for (int64_t i = 0; i < iterations; ++i) {
    asm volatile(
        "vpdpbusd %%zmm0, %%zmm0, %%zmm4\n\t"
        "vpdpbusd %%zmm0, %%zmm0, %%zmm5\n\t"
        "vpdpbusd %%zmm0, %%zmm0, %%zmm6\n\t"
        "vpdpbusd %%zmm0, %%zmm0, %%zmm7\n\t"
        "vpdpbusd %%zmm0, %%zmm0, %%zmm8\n\t"
        "vpdpbusd %%zmm0, %%zmm0, %%zmm9\n\t"
        "vpdpbusd %%zmm0, %%zmm0, %%zmm10\n\t"
        "vpdpbusd %%zmm0, %%zmm0, %%zmm11\n\t"
        "vpdpbusd %%zmm0, %%zmm0, %%zmm12\n\t"
        "vpdpbusd %%zmm0, %%zmm0, %%zmm13\n\t"
        "vpdpbusd %%zmm0, %%zmm0, %%zmm14\n\t"
        "vpdpbusd %%zmm0, %%zmm0, %%zmm15"
        :
        :
        : "xmm0",
          "xmm4",
          "xmm5",
          "xmm6",
          "xmm7",
          "xmm8",
          "xmm9",
          "xmm10",
          "xmm11",
          "xmm12",
          "xmm13",
          "xmm14",
          "xmm15");
  }
  return static_cast<double>(iterations) * 12 * 64 * 2;
}

// Four products for four tiles loaded from the L1 cache, as a matrix product does.
double RunInt8Amx(int64_t iterations) {
  struct alignas(64) Config {
    std::array<uint8_t, 16> head = {1};
    std::array<uint16_t, 16> bytes_per_row = {64, 64, 64, 64, 64, 64, 64, 64};
    std::array<uint8_t, 16> rows = {16, 16, 16, 16, 16, 16, 16, 16};
  };
  const Config config;
  alignas(64) std::array<uint8_t, 4096> operands;
  for (size_t i = 0; i < operands.size(); ++i) {
    operands[i] = static_cast<uint8_t>(i * 7 % 64);
  }
  const int64_t stride = 64;
  asm volatile("ldtilecfg %0" : : "m"(config) : "memory");
  asm volatile("tilezero %%tmm0\n\ttilezero %%tmm1\n\ttilezero %%tmm2\n\ttilezero %%tmm3" : :);
  for (int64_t i = 0; i < iterations; ++i) {
    asm volatile(
        "tileloadd (%0,%1,1), %%tmm4\n\t"
        "tileloadd 1024(%0,%1,1), %%tmm5\n\t"
        "tileloadd 2048(%0,%1,1), %%tmm6\n\t"
        "tileloadd 3072(%0,%1,1), %%tmm7\n\t"
        "tdpbsud %%tmm6, %%tmm4, %%tmm0\n\t"
        "tdpbsud %%tmm7, %%tmm4, %%tmm1\n\t"
        "tdpbsud %%tmm6, %%tmm5, %%tmm2\n\t"
        "tdpbsud %%tmm7, %%tmm5, %%tmm3"
        :
        : "r"(operands.data()), "r"(stride)
        : "memory");
  }
  asm volatile("tilerelease" : :);
  return static_cast<double>(iterations) * 4 * 16 * 16 * 64 * 2;
}

}  // namespace hadal::bench
