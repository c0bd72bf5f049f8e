#include <immintrin.h>

#include "tests/bench/cpu/limits.h"

namespace hadal::bench {

// Ten chains hide the latency of two units; the assembly keeps the compiler from folding them.
double RunFloatAvx2(int64_t iterations) {
  constexpr int kChains = 10;
  __m256 sums[kChains];  // NOLINT(*-avoid-c-arrays)
  for (__m256& sum : sums) {
    sum = _mm256_setzero_ps();
  }
  const __m256 factor = _mm256_set1_ps(0.5F);
  for (int64_t i = 0; i < iterations; ++i) {
    for (__m256& sum : sums) {
      sum = _mm256_fmadd_ps(factor, factor, sum);
      asm volatile("" : "+x"(sum));
    }
  }
  return static_cast<double>(iterations) * kChains * 8 * 2;
}

double RunInt8Avx2(int64_t iterations) {
  constexpr int kChains = 6;
  __m256i sums[kChains];  // NOLINT(*-avoid-c-arrays)
  for (__m256i& sum : sums) {
    sum = _mm256_setzero_si256();
  }
  __m256i x = _mm256_set1_epi8(3);
  const __m256i ones = _mm256_set1_epi16(1);
  for (int64_t i = 0; i < iterations; ++i) {
    for (__m256i& sum : sums) {
      asm volatile("" : "+x"(x));
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(x, x), ones));
      asm volatile("" : "+x"(sum));
    }
  }
  return static_cast<double>(iterations) * kChains * 32 * 2;
}

}  // namespace hadal::bench
