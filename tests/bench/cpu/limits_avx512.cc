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

double RunInt8Vnni(int64_t iterations) {
  constexpr int kChains = 12;
  __m512i sums[kChains];  // NOLINT(*-avoid-c-arrays)
  for (__m512i& sum : sums) {
    sum = _mm512_setzero_si512();
  }
  const __m512i x = _mm512_set1_epi8(3);
  for (int64_t i = 0; i < iterations; ++i) {
    for (__m512i& sum : sums) {
      sum = _mm512_dpbusd_epi32(sum, x, x);
      asm volatile("" : "+v"(sum));
    }
  }
  return static_cast<double>(iterations) * kChains * 64 * 2;
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
