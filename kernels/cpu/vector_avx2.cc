#include <immintrin.h>

#include "kernels/cpu/vector_loops.h"

namespace hadal::cpu {
namespace {

struct Avx2Simd {
  static constexpr int64_t kLanes = 8;
  using Vec = __m256;

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
  static Vec Mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
  static Vec MulAdd(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
  static float Sum(Vec v) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
  }
};

}  // namespace

const VectorKernels& Avx2Kernels() {
  static constexpr VectorKernels kKernels = VectorLoops<Avx2Simd>::Kernels("cpu-avx2", &Avx2Panels);
  return kKernels;
}

}  // namespace hadal::cpu
