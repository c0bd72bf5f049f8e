// 32 bytes hold 4 columns of 8 weight rows. VPMADDUBSW multiplies unsigned by signed bytes and adds
// pairs to 16 bits, saturating: with |x| and w * sign(x), at most 127 each, a pair stays below
// 2^15 and the sum is exact.

#include <algorithm>
#include <cstring>
#include <immintrin.h>
#include <limits>
#include <type_traits>

#include "kernels/cpu/panel/panel_kernels.h"
#include "kernels/cpu/unroll.h"

namespace hadal::cpu {
namespace {

constexpr int64_t kGroupChunks = kGroupCols / kChunkCols;
constexpr int64_t kSteps = kChunkCols / 4;
constexpr int kHalves = 2;  // of 8 rows in a panel

__m256i Load(const void* data) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(data));
}

__m256i MultiplyAdd(__m256i sums, __m256i weights, __m256i x) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(weights, x));
  return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

// kRows input rows times one panel.
template <int kRows>
void Int8Block(const PanelTile& tile, int64_t first, int64_t panel) {
  const Int8Rows x = tile.x.Part(first, kRows, 0);
  const std::byte* groups = tile.panels + panel * tile.panel_stride;
  float* y = tile.y + first * kTileRows + panel * kPanelRows;
  const __m256i offset = _mm256_set1_epi8(static_cast<char>(kInt8Offset));
  for (int64_t chunk = 0; chunk < tile.num_chunks; chunk += kGroupChunks) {
    const int64_t num_chunks = std::min(kGroupChunks, tile.num_chunks - chunk);
    __m256i sums[kRows][kHalves];  // NOLINT(*-avoid-c-arrays)
    for (auto& row : sums) {
      for (__m256i& sum : row) {
        sum = _mm256_setzero_si256();
      }
    }
    const std::byte* weights = groups + kGroupHeaderBytes;
    for (int64_t i = 0; i < num_chunks * kSteps; ++i) {
      // Unsigned with an offset to signed.
      const __m256i low = _mm256_xor_si256(Load(weights + i * 64), offset);
      const __m256i high = _mm256_xor_si256(Load(weights + i * 64 + 32), offset);
      for (int t = 0; t < kRows; ++t) {
        int32_t four = 0;
        std::memcpy(
            &four, x.values + t * x.values_stride + chunk * kChunkCols + i * 4, sizeof(four));
        const __m256i values = _mm256_set1_epi32(four);
        sums[t][0] = MultiplyAdd(sums[t][0], low, values);
        sums[t][1] = MultiplyAdd(sums[t][1], high, values);
      }
    }
    const auto* scales = reinterpret_cast<const float*>(groups);
    for (int half = 0; half < kHalves; ++half) {
      const __m256 weight_scales = _mm256_loadu_ps(scales + half * 8);
      for (int t = 0; t < kRows; ++t) {
        float* out = y + t * kTileRows + half * 8;
        const __m256 both = _mm256_mul_ps(
            weight_scales, _mm256_set1_ps(x.scales[t * x.scales_stride + chunk / kGroupChunks]));
        _mm256_storeu_ps(
            out, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[t][half]), both, _mm256_loadu_ps(out)));
      }
    }
    groups += GroupBytes(WeightFormat::kInt8);
  }
}

void Int8Tile(const PanelTile& tile) {
  for (int64_t p = 0; p < tile.num_panels; ++p) {
    int64_t t = 0;
    for (; t + 4 <= tile.x.count; t += 4) {
      Int8Block<4>(tile, t, p);
    }
    for (; t < tile.x.count; ++t) {
      Int8Block<1>(tile, t, p);
    }
  }
}

// The multipliers of 8 rows for one chunk's lower and upper 32 columns, each in both 16-bit halves
// of its row's 4 bytes.
struct Multipliers {
  __m256i low;
  __m256i high;
};

Multipliers LoadMultipliers(const std::byte* header, int64_t chunk_of_group) {
  const __m256i four_bits = _mm256_set1_epi32(0xF);
  const __m256i ones = _mm256_set1_epi32(0x10001);
  const __m256i shifted =
      _mm256_srl_epi32(Load(header), _mm_cvtsi32_si128(static_cast<int>(chunk_of_group * 8)));
  return {_mm256_mullo_epi32(_mm256_and_si256(shifted, four_bits), ones),
          _mm256_mullo_epi32(_mm256_and_si256(_mm256_srli_epi32(shifted, 4), four_bits), ones)};
}

__m256i Broadcast4(const int8_t* x) {
  int32_t four = 0;
  std::memcpy(&four, x, sizeof(four));
  return _mm256_set1_epi32(four);
}

// What sums of products of 4-bit numbers begin with, in either 16-bit half of a row: both together
// take the numbers' offset back.
__m256i MinusOffset(int32_t sum_of_x) {
  return _mm256_set1_epi16(static_cast<int16_t>(-kInt4Offset / kHalves * sum_of_x));
}

// sums += the products of kRows input rows and 8 weight rows over one chunk, but for scales. A
// number of 4 bits times one of 8 leaves room in 16 bits for all 32 columns that share a
// multiplier: with any signs, offset included, they stay below 2^15.
template <int kRows>
[[gnu::always_inline]] inline void AddInt4Chunk(const Int8Rows& x,
                                                const std::byte* weights,
                                                const Multipliers& multipliers,
                                                int64_t chunk_of_group,
                                                __m256i (&sums)[kRows]) {
  const __m256i low_half = _mm256_set1_epi8(0x0F);
  const int8_t* values = x.values + chunk_of_group * kChunkCols;
  __m256i low[kRows];   // NOLINT(*-avoid-c-arrays)
  __m256i high[kRows];  // NOLINT(*-avoid-c-arrays)
  Unroll<kRows>([&](auto t) __attribute__((always_inline)) {
    const int32_t* x_sums = x.sums + t * x.sums_stride + chunk_of_group * 2;
    low[t] = MinusOffset(x_sums[0]);
    high[t] = MinusOffset(x_sums[1]);
  });
  for (int64_t i = 0; i < kSteps / 2; ++i) {
    const __m256i both = Load(weights + i * 64);
    const __m256i w_low = _mm256_and_si256(both, low_half);
    const __m256i w_high = _mm256_and_si256(_mm256_srli_epi16(both, 4), low_half);
    Unroll<kRows>([&](auto t) __attribute__((always_inline)) {
      const int8_t* four = values + t * x.values_stride + i * 4;
      low[t] = _mm256_add_epi16(low[t], _mm256_maddubs_epi16(w_low, Broadcast4(four)));
      high[t] =
          _mm256_add_epi16(high[t], _mm256_maddubs_epi16(w_high, Broadcast4(four + kSubgroupCols)));
    });
  }
  Unroll<kRows>([&](auto t) __attribute__((always_inline)) {
    sums[t] = _mm256_add_epi32(sums[t],
                               _mm256_add_epi32(_mm256_madd_epi16(low[t], multipliers.low),
                                                _mm256_madd_epi16(high[t], multipliers.high)));
  });
}

// kRows input rows times 8 rows of one panel's group of columns.
template <int kRows>
void Int4Block(
    const Int8Rows& x, const std::byte* group, int64_t num_chunks, int64_t half, float* y) {
  __m256i sums[kRows];  // NOLINT(*-avoid-c-arrays)
  Unroll<kRows>([&](auto t) __attribute__((always_inline)) { sums[t] = _mm256_setzero_si256(); });
  const std::byte* header = group + half * 32;
  for (int64_t c = 0; c < num_chunks; ++c) {
    const std::byte* weights = header + kGroupHeaderBytes + c * ChunkBytes(WeightFormat::kInt4);
    AddInt4Chunk<kRows>(x, weights, LoadMultipliers(header, c), c, sums);
  }
  const __m256 weight_scales =
      _mm256_castsi256_ps(_mm256_and_si256(Load(header), _mm256_set1_epi32(-0x10000)));
  Unroll<kRows>([&](auto t) __attribute__((always_inline)) {
    float* out = y + t * kTileRows + half * 8;
    const __m256 both = _mm256_mul_ps(weight_scales, _mm256_set1_ps(x.scales[t * x.scales_stride]));
    _mm256_storeu_ps(out, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[t]), both, _mm256_loadu_ps(out)));
  });
}

void Int4Tile(const PanelTile& tile) {
  for (int64_t p = 0; p < tile.num_panels; ++p) {
    const std::byte* group = tile.panels + p * tile.panel_stride;
    for (int64_t chunk = 0; chunk < tile.num_chunks; chunk += kGroupChunks) {
      const int64_t num_chunks = std::min(kGroupChunks, tile.num_chunks - chunk);
      int64_t t = 0;
      const auto multiply = [&]<int kRows>(std::integral_constant<int, kRows> /*rows*/) {
        const Int8Rows x = tile.x.Part(t, kRows, chunk / kGroupChunks);
        for (int64_t half = 0; half < kHalves; ++half) {
          Int4Block<kRows>(x, group, num_chunks, half, tile.y + t * kTileRows + p * kPanelRows);
        }
        t += kRows;
      };
      while (t + 4 <= tile.x.count) {
        multiply(std::integral_constant<int, 4>());
      }
      while (t < tile.x.count) {
        multiply(std::integral_constant<int, 1>());
      }
      group += GroupBytes(WeightFormat::kInt4);
    }
  }
}

}  // namespace

const PanelKernels& Avx2Panels() {
  static constexpr PanelKernels kKernels = {.name = "cpu-avx2",
                                            .round_row = &RoundToInt8,
                                            .int8_tile = &Int8Tile,
                                            .int4_tile = &Int4Tile,
                                            .most_int4_rows = std::numeric_limits<int64_t>::max(),
                                            .widen_int4 = nullptr};
  return kKernels;
}

}  // namespace hadal::cpu
