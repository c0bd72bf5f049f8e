#include <algorithm>
#include <immintrin.h>

#include "kernels/cpu/tiles/tile_kernels.h"

namespace hadal::cpu {
namespace {

// GCC ignores the alignment of vectors that are template arguments.
struct Floats {
  __m512 rows[kSplitInputs];  // NOLINT(*-avoid-c-arrays)
};
struct Pairs {
  __m512i rows[kSplitInputs];  // NOLINT(*-avoid-c-arrays)
};

// ToBf16 of numbers that round to finite ones, in the lower half of each lane.
__m512i RoundFinite(__m512i bits) {
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i half = _mm512_add_epi32(_mm512_set1_epi32(0x7FFF), odd);
  return _mm512_srli_epi32(_mm512_add_epi32(bits, half), 16);
}

// Split of 16 floats: the high parts of columns 2i and 2i + 1 in the lower half of lane i of 64
// bits, their low parts in the upper half.
__m512i SplitPairs(__m512 x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7FFFFFFF));
  const __mmask16 finite = _mm512_cmplt_epi32_mask(magnitude, _mm512_set1_epi32(0x7F800000));
  const __mmask16 is_nan = _mm512_cmpgt_epi32_mask(magnitude, _mm512_set1_epi32(0x7F800000));
  const __mmask16 overflow =
      _mm512_mask_cmpge_epi32_mask(finite, magnitude, _mm512_set1_epi32(0x7F7F8000));
  const __m512i quiet = _mm512_maskz_mov_epi32(is_nan, _mm512_set1_epi32(0x40));
  const __m512i truncated = _mm512_or_si512(_mm512_srli_epi32(bits, 16), quiet);
  const __mmask16 rounds = _kandn_mask16(overflow, finite);
  const __m512i high = _mm512_mask_mov_epi32(truncated, rounds, RoundFinite(bits));
  const __m512 rest = _mm512_sub_ps(x, _mm512_castsi512_ps(_mm512_slli_epi32(high, 16)));
  const __m512i low = _mm512_maskz_mov_epi32(finite, RoundFinite(_mm512_castps_si512(rest)));
  const __m256i highs = _mm512_cvtepi32_epi16(high);
  const __m256i lows = _mm512_cvtepi32_epi16(low);
  return _mm512_permutex2var_epi32(
      _mm512_castsi256_si512(highs),
      _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
      _mm512_castsi256_si512(lows));
}

// The transpose of a square of 64-bit lanes. Counting elements in binary as (row, lane), a round
// that puts even elements first and odd ones last moves the lowest digit to the top.
void Transpose(Pairs& pairs) {
  const __m512i evens = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
  const __m512i odds = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
  for (int round = 0; round < 3; ++round) {
    const Pairs old = pairs;
    for (size_t i = 0; i < 4; ++i) {
      pairs.rows[i] = _mm512_permutex2var_epi64(old.rows[2 * i], evens, old.rows[2 * i + 1]);
      pairs.rows[i + 4] = _mm512_permutex2var_epi64(old.rows[2 * i], odds, old.rows[2 * i + 1]);
    }
  }
}

void SplitGroup(const std::array<const float*, kSplitInputs>& rows,
                int64_t count,
                int64_t cols,
                bf16* tiles) {
  constexpr int64_t kLanes = 16;
  const int64_t padded = NumSplitTiles(cols) * kSplitCols;
  Pairs pairs = {};
  for (int64_t col = 0; col < padded; col += kLanes) {
    const int64_t width = std::clamp(cols - col, int64_t{0}, kLanes);
    const auto mask = static_cast<__mmask16>((1U << static_cast<uint32_t>(width)) - 1U);
    for (size_t i = 0; i < kSplitInputs; ++i) {
      pairs.rows[i] = static_cast<int64_t>(i) < count && width > 0
                          ? SplitPairs(_mm512_maskz_loadu_ps(mask, rows[i] + col))
                          : _mm512_setzero_si512();
    }
    Transpose(pairs);
    for (const __m512i& row : pairs.rows) {
      _mm512_storeu_si512(tiles, row);
      tiles += 4 * kSplitInputs;
    }
  }
}

// The magnitudes below 2^-6, multiples of 2^-9, are a table; the others get another exponent.
__m512i WidenFp8Row(__m256i x) {
  constexpr int16_t kNan = 0x7FC0;
  const __m512i bits = _mm512_cvtepu8_epi16(x);
  const __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi16(0x7F));
  const __m512i sign = _mm512_slli_epi16(_mm512_xor_si512(bits, magnitude), 8);
  const __m512i small = _mm512_castsi128_si512(
      _mm_setr_epi16(0, 0x3B00, 0x3B80, 0x3BC0, 0x3C00, 0x3C20, 0x3C40, 0x3C60));
  const __mmask32 is_small = _mm512_cmplt_epi16_mask(magnitude, _mm512_set1_epi16(8));
  const __mmask32 is_nan = _mm512_cmpeq_epi16_mask(magnitude, _mm512_set1_epi16(0x7F));
  __m512i wide =
      _mm512_add_epi16(_mm512_slli_epi16(magnitude, 4), _mm512_set1_epi16((127 - 7) << 7));
  wide = _mm512_mask_permutexvar_epi16(wide, is_small, magnitude, small);
  wide = _mm512_mask_mov_epi16(wide, is_nan, _mm512_set1_epi16(kNan));
  return _mm512_or_si512(wide, sign);
}

void WidenFp8(const fp8_e4m3* x, int64_t stride, int64_t num_rows, int64_t num_cols, bf16* tile) {
  const auto mask = static_cast<__mmask32>((uint64_t{1} << static_cast<uint32_t>(num_cols)) - 1U);
  for (int64_t r = 0; r < num_rows; ++r) {
    _mm512_storeu_si512(tile + r * kSplitCols,
                        WidenFp8Row(_mm256_maskz_loadu_epi8(mask, x + r * stride)));
  }
  for (int64_t r = num_rows; r < kPanelRows; ++r) {
    _mm512_storeu_si512(tile + r * kSplitCols, _mm512_setzero_si512());
  }
}

// Adds even and odd columns, which leaves two rows of sums in a vector, and then transposes as
// above: three rounds take the digits of the input to the top.
void AddParts(const float* tile, float* y) {
  const __m512i evens =
      _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i odds = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  Floats sums;
  for (size_t i = 0; i < kSplitInputs; ++i) {
    const __m512 first = _mm512_loadu_ps(tile + 32 * i);
    const __m512 second = _mm512_loadu_ps(tile + 32 * i + 16);
    sums.rows[i] = _mm512_add_ps(_mm512_permutex2var_ps(first, evens, second),
                                 _mm512_permutex2var_ps(first, odds, second));
  }
  for (int round = 0; round < 3; ++round) {
    const Floats old = sums;
    for (size_t i = 0; i < kSplitInputs / 2; ++i) {
      sums.rows[i] = _mm512_permutex2var_ps(old.rows[2 * i], evens, old.rows[2 * i + 1]);
      sums.rows[i + kSplitInputs / 2] =
          _mm512_permutex2var_ps(old.rows[2 * i], odds, old.rows[2 * i + 1]);
    }
  }
  for (size_t i = 0; i < kSplitInputs; ++i) {
    _mm512_storeu_ps(y + i * kTileRows, sums.rows[i]);
  }
}

}  // namespace

const TileLanes& Avx512TileLanes() {
  static constexpr TileLanes kLanes = {
      .split_group = &SplitGroup, .widen_fp8 = &WidenFp8, .add_parts = &AddParts};
  return kLanes;
}

}  // namespace hadal::cpu
