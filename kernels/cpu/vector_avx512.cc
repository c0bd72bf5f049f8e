#include <immintrin.h>

#include "kernels/cpu/vector_loops.h"

namespace hadal::cpu {
namespace {

struct Avx512Simd {
  static constexpr int64_t kLanes = 16;
  using Vec = __m512;

  static Vec Zero() { return _mm512_setzero_ps(); }
  static Vec Set1(float value) { return _mm512_set1_ps(value); }
  static Vec Load(const float* x) { return _mm512_loadu_ps(x); }
  static Vec Load(const bf16* x) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  static Vec Load(const f16* x) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)));
  }
  // As in vector_avx2.cc.
  static Vec Load(const fp8_e4m3* x) {
    const __m512i bits = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x)));
    const __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7F));
    const __m512i sign = _mm512_slli_epi32(_mm512_xor_si512(bits, magnitude), 24);
    const __mmask16 is_nan = _mm512_cmpeq_epi32_mask(magnitude, _mm512_set1_epi32(0x7F));
    const __m512 value = _mm512_mul_ps(_mm512_castsi512_ps(_mm512_slli_epi32(magnitude, 20)),
                                       _mm512_set1_ps(0x1p120F));
    const __m512i signed_bits = _mm512_or_si512(_mm512_castps_si512(value), sign);
    return _mm512_castsi512_ps(
        _mm512_mask_mov_epi32(signed_bits, is_nan, _mm512_set1_epi32(0x7FC00000)));
  }
  static void Store(float* y, Vec v) { _mm512_storeu_ps(y, v); }
  static Vec Mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
  static Vec MulAdd(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
  static float Sum(Vec v) { return _mm512_reduce_add_ps(v); }
};

}  // namespace

const VectorKernels& Avx512Kernels() {
  static constexpr VectorKernels kKernels =
      VectorLoops<Avx512Simd>::Kernels("cpu-avx512", &Avx512Panels);
  return kKernels;
}

const VectorKernels& AmxKernels() {
  static constexpr VectorKernels kKernels = VectorLoops<Avx512Simd>::Kernels("cpu-amx", &AmxPanels);
  return kKernels;
}

}  // namespace hadal::cpu
