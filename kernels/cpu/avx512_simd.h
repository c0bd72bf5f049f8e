#pragma once

#include <cstddef>
#include <cstdint>
#include <immintrin.h>

#include "base/dtype.h"

namespace hadal::cpu {

/// The vector type of vector_loops.h and attention/amx_lanes.h: only for files compiled for
/// AVX-512.
struct Avx512Simd {
  static constexpr int64_t kLanes = 16;
  static constexpr int kSums = 16;
  static constexpr int kTileRows = 4;
  static constexpr __mmask32 kUpperHalves = 0xAAAAAAAA;
  using Vec = __m512;
  using Mask = __mmask16;

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
  static Vec Load(const int8_t* x) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x));
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
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
  static Vec Add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
  static Vec Sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
  static Vec Mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
  static Vec Div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
  static Vec MulAdd(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
  static float Sum(Vec v) { return _mm512_reduce_add_ps(v); }
  static Vec Max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
  static Mask Less(Vec a, Vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  static Vec Select(Mask mask, Vec a, Vec b) { return _mm512_mask_blend_ps(mask, b, a); }
  static Vec PowerOfTwo(Vec rounded) {
    const __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(rounded), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(exponent, _mm512_castps_si512(Set1(1))));
  }
  static Vec LoadBytes(const std::byte* x) { return _mm512_castsi512_ps(_mm512_loadu_si512(x)); }
  static void StoreBytes(std::byte* y, Vec v) { _mm512_storeu_si512(y, _mm512_castps_si512(v)); }
  static Vec RoundToBf16(Vec v) {
    const __m512i bits = _mm512_castps_si512(v);
    const __m512i is_odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i sum = _mm512_add_epi32(_mm512_add_epi32(bits, is_odd), _mm512_set1_epi32(0x7FFF));
    const __mmask16 is_nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    const __m512i rounded = _mm512_mask_mov_epi32(sum, is_nan, _mm512_set1_epi32(0x7FC00000));
    return _mm512_castsi512_ps(
        _mm512_and_si512(rounded, _mm512_set1_epi32(static_cast<int32_t>(0xFFFF0000U))));
  }
  static Vec PairLower(Vec a, Vec b) {
    const __m512i upper = _mm512_slli_epi32(_mm512_castps_si512(b), 16);
    return _mm512_castsi512_ps(
        _mm512_mask_blend_epi16(kUpperHalves, _mm512_castps_si512(a), upper));
  }
  static Vec PairUpper(Vec a, Vec b) {
    const __m512i lower = _mm512_srli_epi32(_mm512_castps_si512(a), 16);
    return _mm512_castsi512_ps(
        _mm512_mask_blend_epi16(kUpperHalves, lower, _mm512_castps_si512(b)));
  }
  // First the 4 x 4 squares within quarters of the vectors, then the square of quarters.
  static void Transpose(Vec* rows) {
    Vec pairs[kLanes];  // NOLINT(*-avoid-c-arrays)
    for (int64_t i = 0; i < kLanes; i += 2) {
      pairs[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
      pairs[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
    Vec fours[kLanes];  // NOLINT(*-avoid-c-arrays)
    for (int64_t i = 0; i < kLanes; i += 4) {
      for (int64_t half = 0; half < 2; ++half) {
        const __m512d a = _mm512_castps_pd(pairs[i + half]);
        const __m512d b = _mm512_castps_pd(pairs[i + half + 2]);
        fours[i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
        fours[i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
      }
    }
    for (int64_t i = 0; i < 4; ++i) {
      const Vec even_a = _mm512_shuffle_f32x4(fours[i], fours[4 + i], 0x88);
      const Vec even_b = _mm512_shuffle_f32x4(fours[8 + i], fours[12 + i], 0x88);
      const Vec odd_a = _mm512_shuffle_f32x4(fours[i], fours[4 + i], 0xDD);
      const Vec odd_b = _mm512_shuffle_f32x4(fours[8 + i], fours[12 + i], 0xDD);
      rows[i] = _mm512_shuffle_f32x4(even_a, even_b, 0x88);
      rows[4 + i] = _mm512_shuffle_f32x4(odd_a, odd_b, 0x88);
      rows[8 + i] = _mm512_shuffle_f32x4(even_a, even_b, 0xDD);
      rows[12 + i] = _mm512_shuffle_f32x4(odd_a, odd_b, 0xDD);
    }
  }
};

}  // namespace hadal::cpu
