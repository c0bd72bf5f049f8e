#include <immintrin.h>

#include "kernels/cpu/vector_loops.h"

namespace hadal::cpu {
namespace {

struct Avx2Simd {
  static constexpr int64_t kLanes = 8;
  static constexpr int kSums = 8;
  static constexpr int kTileRows = 2;
  using Vec = __m256;
  using Mask = __m256;

  static Vec Zero() { return _mm256_setzero_ps(); }
  static Vec Set1(float value) { return _mm256_set1_ps(value); }
  static Vec Load(const float* x) { return _mm256_loadu_ps(x); }
  static Vec Load(const bf16* x) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  static Vec Load(const f16* x) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x)));
  }
  static Vec Load(const int8_t* x) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(x));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
  }
  // Exponent and mantissa move to their places in a float, whose exponent is then too small by the
  // difference of the biases, 120: exact for subnormals too. All ones is NaN.
  static Vec Load(const fp8_e4m3* x) {
    const __m256i bits = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(x)));
    const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7F));
    const __m256i sign = _mm256_slli_epi32(_mm256_xor_si256(bits, magnitude), 24);
    const __m256i is_nan = _mm256_cmpeq_epi32(magnitude, _mm256_set1_epi32(0x7F));
    const __m256 value = _mm256_mul_ps(_mm256_castsi256_ps(_mm256_slli_epi32(magnitude, 20)),
                                       _mm256_set1_ps(0x1p120F));
    return _mm256_or_ps(_mm256_or_ps(value, _mm256_castsi256_ps(sign)),
                        _mm256_castsi256_ps(is_nan));
  }
  static void Store(float* y, Vec v) { _mm256_storeu_ps(y, v); }
  static Vec Add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
  static Vec Sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
  static Vec Mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
  static Vec Div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
  static Vec MulAdd(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
  static float Sum(Vec v) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
  }
  static Vec Max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
  static Mask Less(Vec a, Vec b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
  static Vec Select(Mask mask, Vec a, Vec b) { return _mm256_blendv_ps(b, a, mask); }
  static Vec PowerOfTwo(Vec rounded) {
    const __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(rounded), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(exponent, _mm256_castps_si256(Set1(1))));
  }
  // First the 4 x 4 squares within halves of the vectors, then the square of halves.
  static void Transpose(Vec* rows) {
    Vec fours[kLanes];  // NOLINT(*-avoid-c-arrays)
    for (int64_t i = 0; i < kLanes; i += 4) {
      const __m256d low_a = _mm256_castps_pd(_mm256_unpacklo_ps(rows[i], rows[i + 1]));
      const __m256d high_a = _mm256_castps_pd(_mm256_unpackhi_ps(rows[i], rows[i + 1]));
      const __m256d low_b = _mm256_castps_pd(_mm256_unpacklo_ps(rows[i + 2], rows[i + 3]));
      const __m256d high_b = _mm256_castps_pd(_mm256_unpackhi_ps(rows[i + 2], rows[i + 3]));
      fours[i] = _mm256_castpd_ps(_mm256_unpacklo_pd(low_a, low_b));
      fours[i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low_a, low_b));
      fours[i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(high_a, high_b));
      fours[i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(high_a, high_b));
    }
    for (int64_t i = 0; i < 4; ++i) {
      rows[i] = _mm256_permute2f128_ps(fours[i], fours[4 + i], 0x20);
      rows[4 + i] = _mm256_permute2f128_ps(fours[i], fours[4 + i], 0x31);
    }
  }
};

}  // namespace

const VectorKernels& Avx2Kernels() {
  static constexpr VectorKernels kKernels =
      VectorLoops<Avx2Simd>::Kernels("cpu-avx2", &Avx2Panels, nullptr);
  return kKernels;
}

}  // namespace hadal::cpu
