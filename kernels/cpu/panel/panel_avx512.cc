// VNNI: a 64-byte row of a chunk holds 4 columns of 16 weight rows, one VPDPBUSD multiplies it by 4
// input values, repeated 16 times, and adds to 16 sums. It takes weights as unsigned numbers, value
// + offset, so that sums start at minus offset times the sum of the input values.
//
// Bound by memory up to some eight input rows, then by VPDPBUSD. A block of 6 x 4 sums fills the
// registers: 24 VPDPBUSD for 4 + 6 loads.

#include <algorithm>
#include <cstring>
#include <immintrin.h>

#include "kernels/cpu/panel/panel_kernels.h"
#include "kernels/cpu/unroll.h"

namespace hadal::cpu {
namespace {

constexpr int64_t kGroupChunks = kGroupCols / kChunkCols;
constexpr int64_t kSteps = kChunkCols / 4;  // of 4 columns in a chunk
// Ahead of what is multiplied, in bytes of a panel: the distance that costs least on a Xeon.
constexpr int64_t kPrefetchBytes = 1024;
constexpr int64_t kBlockRows = 6;  // input rows that fill the registers

__m512i LoadWeights(const std::byte* row) {
  return _mm512_loadu_si512(row);
}

__m512i Broadcast4(const int8_t* x) {
  int32_t four = 0;
  std::memcpy(&four, x, sizeof(four));
  return _mm512_set1_epi32(four);
}

// sums += the products. In assembly, since GCC 12 copies and spills the sums of many intrinsics.
void AddProducts(__m512i weights, __m512i four, __m512i& sums) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(weights), "v"(four));
}

void AddScaled(__m512i sums, __m512 weight_scales, float x_scale, float* y) {
  const __m512 scales = _mm512_mul_ps(weight_scales, _mm512_set1_ps(x_scale));
  _mm512_storeu_ps(y, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), scales, _mm512_loadu_ps(y)));
}

// One group of columns, kRows input rows times kPanels panels. At each step the next line of
// kFetched panels is fetched, from `ahead` on.
template <int kRows, int kPanels, int kFetched>
void Int8Block(const PanelTile& group, int64_t first, const std::byte* ahead) {
  const Int8Rows x = group.x.Part(first, kRows, 0);
  float* y = group.y + first * kTileRows;
  __m512i sums[kRows][kPanels];  // NOLINT(*-avoid-c-arrays)
  Unroll<kRows>([&](auto t) __attribute__((always_inline)) {
    const int32_t* x_sums = x.sums + t * x.sums_stride;
    int32_t sum = 0;
    for (int64_t s = 0; s < group.num_chunks * 2; ++s) {
      sum += x_sums[s];
    }
    Unroll<kPanels>([&](auto p) __attribute__((always_inline)) {
      sums[t][p] = _mm512_set1_epi32(-kInt8Offset * sum);
    });
  });
  const std::byte* weights = group.panels + kGroupHeaderBytes;
  for (int64_t i = 0; i < group.num_chunks * kSteps; ++i) {
    Unroll<kFetched>([&](auto p) __attribute__((always_inline)) {
      _mm_prefetch(ahead + p * group.panel_stride + i * 64, _MM_HINT_T0);
    });
    __m512i w[kPanels];  // NOLINT(*-avoid-c-arrays)
    Unroll<kPanels>([&](auto p) __attribute__((always_inline)) {
      w[p] = LoadWeights(weights + p * group.panel_stride + i * 64);
    });
    Unroll<kRows>([&](auto t) __attribute__((always_inline)) {
      const __m512i four = Broadcast4(x.values + t * x.values_stride + i * 4);
      Unroll<kPanels>([&](auto p)
                          __attribute__((always_inline)) { AddProducts(w[p], four, sums[t][p]); });
    });
  }
  Unroll<kPanels>([&](auto p) __attribute__((always_inline)) {
    const __m512 scales = _mm512_loadu_ps(group.panels + p * group.panel_stride);
    Unroll<kRows>([&](auto t) __attribute__((always_inline)) {
      AddScaled(
          sums[t][p], scales, x.scales[t * x.scales_stride], y + t * kTileRows + p * kPanelRows);
    });
  });
}

// The c-th chunk of a group: totals += the products of kRows input rows from `x` on and kPanels
// panels, whose groups begin at `groups`, but for scales.
template <int kRows, int kPanels>
[[gnu::always_inline]] inline void AddInt4Chunk(const Int8Rows& x,
                                                const std::byte* groups,
                                                int64_t panel_stride,
                                                int64_t c,
                                                __m512 (&totals)[kRows][kPanels]) {
  __m512i low[kRows][kPanels];   // NOLINT(*-avoid-c-arrays)
  __m512i high[kRows][kPanels];  // NOLINT(*-avoid-c-arrays)
  Unroll<kRows>([&](auto t) __attribute__((always_inline)) {
    const int32_t* x_sums = x.sums + t * x.sums_stride + c * 2;
    Unroll<kPanels>([&](auto p) __attribute__((always_inline)) {
      low[t][p] = _mm512_set1_epi32(-kInt4Offset * x_sums[0]);
      high[t][p] = _mm512_set1_epi32(-kInt4Offset * x_sums[1]);
    });
  });
  const __m512i low_half = _mm512_set1_epi8(0x0F);
  const std::byte* weights = groups + kGroupHeaderBytes + c * ChunkBytes(WeightFormat::kInt4);
  const int8_t* values = x.values + c * kChunkCols;
  for (int64_t i = 0; i < kSteps / 2; ++i) {
    __m512i w_low[kPanels];   // NOLINT(*-avoid-c-arrays)
    __m512i w_high[kPanels];  // NOLINT(*-avoid-c-arrays)
    Unroll<kPanels>([&](auto p) __attribute__((always_inline)) {
      const std::byte* row = weights + p * panel_stride + i * 64;
      _mm_prefetch(row + kPrefetchBytes, _MM_HINT_T0);
      const __m512i both = LoadWeights(row);
      w_low[p] = _mm512_and_si512(both, low_half);
      w_high[p] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low_half);
    });
    Unroll<kRows>([&](auto t) __attribute__((always_inline)) {
      const int8_t* values_of_row = values + t * x.values_stride + i * 4;
      const __m512i x_low = Broadcast4(values_of_row);
      const __m512i x_high = Broadcast4(values_of_row + kSubgroupCols);
      Unroll<kPanels>([&](auto p) __attribute__((always_inline)) {
        AddProducts(w_low[p], x_low, low[t][p]);
        AddProducts(w_high[p], x_high, high[t][p]);
      });
    });
  }
  Unroll<kPanels>([&](auto p) __attribute__((always_inline)) {
    const __m512i header = LoadWeights(groups + p * panel_stride);
    const __m512i multipliers = _mm512_srli_epi32(header, static_cast<unsigned>(c * 8));
    const __m512i four_bits = _mm512_set1_epi32(0xF);
    const __m512 m_low = _mm512_cvtepi32_ps(_mm512_and_si512(multipliers, four_bits));
    const __m512 m_high =
        _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(multipliers, 4), four_bits));
    Unroll<kRows>([&](auto t) __attribute__((always_inline)) {
      totals[t][p] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(low[t][p]), m_low, totals[t][p]);
      totals[t][p] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(high[t][p]), m_high, totals[t][p]);
    });
  });
}

// kRows input rows times kPanels panels. The sums of a subgroup times its multiplier are integers
// below 2^24, so that adding them up as floats is exact, and the same as widening the weights
// first.
template <int kRows, int kPanels>
void Int4Block(const PanelTile& tile, int64_t first, int64_t panel) {
  Int8Rows x = tile.x.Part(first, kRows, 0);
  const std::byte* groups = tile.panels + panel * tile.panel_stride;
  float* y = tile.y + first * kTileRows + panel * kPanelRows;
  for (int64_t chunk = 0; chunk < tile.num_chunks; chunk += kGroupChunks) {
    __m512 totals[kRows][kPanels];  // NOLINT(*-avoid-c-arrays)
    Unroll<kRows>([&](auto t) __attribute__((always_inline)) {
      Unroll<kPanels>([&](auto p)
                          __attribute__((always_inline)) { totals[t][p] = _mm512_setzero_ps(); });
    });
    const int64_t num_chunks = std::min(kGroupChunks, tile.num_chunks - chunk);
    for (int64_t c = 0; c < num_chunks; ++c) {
      AddInt4Chunk(x, groups, tile.panel_stride, c, totals);
    }
    Unroll<kPanels>([&](auto p) __attribute__((always_inline)) {
      const __m512i header = LoadWeights(groups + p * tile.panel_stride);
      const __m512 scales =
          _mm512_castsi512_ps(_mm512_and_si512(header, _mm512_set1_epi32(-0x10000)));
      Unroll<kRows>([&](auto t) __attribute__((always_inline)) {
        float* out = y + t * kTileRows + p * kPanelRows;
        const __m512 both = _mm512_mul_ps(scales, _mm512_set1_ps(x.scales[t * x.scales_stride]));
        _mm512_storeu_ps(out, _mm512_fmadd_ps(totals[t][p], both, _mm512_loadu_ps(out)));
      });
    });
    groups += GroupBytes(WeightFormat::kInt4);
    x = x.Part(0, kRows, 1);
  }
}

// One group of columns, the fewer than kBlockRows input rows from `first` on times kPanels panels.
template <int kPanels, int kFetched>
void Int8Rest(const PanelTile& group, int64_t first, const std::byte* ahead) {
  switch (group.x.count - first) {
    case 5:
      return Int8Block<5, kPanels, kFetched>(group, first, ahead);
    case 4:
      return Int8Block<4, kPanels, kFetched>(group, first, ahead);
    case 3:
      return Int8Block<3, kPanels, kFetched>(group, first, ahead);
    case 2:
      return Int8Block<2, kPanels, kFetched>(group, first, ahead);
    case 1:
      return Int8Block<1, kPanels, kFetched>(group, first, ahead);
    default:
      return;
  }
}

// One group of columns, all input rows times kPanels panels, in blocks of rows. Memory is read
// beside the products: each of some blocks fetches one panel's next group, or the first block all.
template <int kPanels>
void Int8Group(const PanelTile& group) {
  const std::byte* ahead = group.panels + kPrefetchBytes;
  if (group.x.count < kBlockRows) {
    return Int8Rest<kPanels, kPanels>(group, 0, ahead);
  }
  const int64_t num_blocks = group.x.count / kBlockRows;
  int64_t block = 0;
  if (num_blocks < kPanels) {
    Int8Block<kBlockRows, kPanels, kPanels>(group, 0, ahead);
    block = 1;
  } else {
    for (; block < kPanels; ++block) {
      const std::byte* panel = group.panels + block * group.panel_stride;
      Int8Block<kBlockRows, kPanels, 1>(
          group, block * kBlockRows, panel + GroupBytes(WeightFormat::kInt8));
    }
  }
  for (; block < num_blocks; ++block) {
    Int8Block<kBlockRows, kPanels, 0>(group, block * kBlockRows, nullptr);
  }
  Int8Rest<kPanels, 0>(group, num_blocks * kBlockRows, nullptr);
}

void Int8Tile(const PanelTile& tile) {
  PanelTile group = tile;
  for (int64_t chunk = 0; chunk < tile.num_chunks; chunk += kGroupChunks) {
    group.num_chunks = std::min(kGroupChunks, tile.num_chunks - chunk);
    if (tile.num_panels == kTilePanels) {
      Int8Group<kTilePanels>(group);
    } else {
      PanelTile panel = group;
      for (int64_t p = 0; p < tile.num_panels; ++p) {
        Int8Group<1>(panel);
        panel.panels += tile.panel_stride;
        panel.y += kPanelRows;
      }
    }
    group.panels += GroupBytes(WeightFormat::kInt8);
    group.x = group.x.Part(0, tile.x.count, 1);
  }
}

// Rows from `first` on times all panels, kPanels at a time.
template <int kRows, int kPanels>
void Int4Rows(const PanelTile& tile, int64_t first) {
  int64_t p = 0;
  for (; p + kPanels <= tile.num_panels; p += kPanels) {
    Int4Block<kRows, kPanels>(tile, first, p);
  }
  for (; p < tile.num_panels; ++p) {
    Int4Block<kRows, 1>(tile, first, p);
  }
}

// Few rows are bound by memory and take the streams of many panels; with more, their sums fill the
// registers.
void Int4Tile(const PanelTile& tile) {
  int64_t t = 0;
  for (; t + 6 <= tile.x.count; t += 6) {
    Int4Rows<6, 2>(tile, t);
  }
  switch (tile.x.count - t) {
    case 5:
      return Int4Rows<5, 2>(tile, t);
    case 4:
      return Int4Rows<4, 2>(tile, t);
    case 3:
      return Int4Rows<3, 2>(tile, t);
    case 2:
      return Int4Rows<2, 4>(tile, t);
    case 1:
      return Int4Rows<1, 4>(tile, t);
    default:
      return;
  }
}

// (value + 8) and a multiplier of each 4 bytes to value * multiplier + 128, by 16-bit products of
// the even and the odd bytes.
__m512i Widen(__m512i halves, __m512i multipliers, __m512i base) {
  const __m512i even = _mm512_and_si512(halves, _mm512_set1_epi16(0x00FF));
  const __m512i odd = _mm512_srli_epi16(halves, 8);
  const __m512i low = _mm512_add_epi16(_mm512_mullo_epi16(even, multipliers), base);
  const __m512i high = _mm512_add_epi16(_mm512_mullo_epi16(odd, multipliers), base);
  return _mm512_or_si512(low, _mm512_slli_epi16(high, 8));
}

void WidenInt4(const std::byte* panel, int64_t num_chunks, std::byte* int8_panel) {
  const __m512i low_half = _mm512_set1_epi8(0x0F);
  for (int64_t chunk = 0; chunk < num_chunks; ++chunk) {
    const int64_t group = chunk / kGroupChunks;
    const int64_t c = chunk % kGroupChunks;
    const std::byte* in = panel + group * GroupBytes(WeightFormat::kInt4);
    std::byte* out = int8_panel + group * GroupBytes(WeightFormat::kInt8);
    const __m512i header = LoadWeights(in);
    _mm512_storeu_si512(out, _mm512_and_si512(header, _mm512_set1_epi32(-0x10000)));
    in += kGroupHeaderBytes + c * ChunkBytes(WeightFormat::kInt4);
    out += kGroupHeaderBytes + c * ChunkBytes(WeightFormat::kInt8);
    // Each multiplier in both 16-bit halves of its row, and 128 - 8 * multiplier.
    const __m512i four_bits = _mm512_set1_epi32(0xF);
    const __m512i shifted = _mm512_srli_epi32(header, static_cast<unsigned>(c * 8));
    const __m512i ones = _mm512_set1_epi32(0x10001);
    const __m512i m_low = _mm512_mullo_epi32(_mm512_and_si512(shifted, four_bits), ones);
    const __m512i m_high =
        _mm512_mullo_epi32(_mm512_and_si512(_mm512_srli_epi32(shifted, 4), four_bits), ones);
    const __m512i offset = _mm512_set1_epi16(kInt8Offset);
    const __m512i base_low = _mm512_sub_epi16(offset, _mm512_slli_epi16(m_low, 3));
    const __m512i base_high = _mm512_sub_epi16(offset, _mm512_slli_epi16(m_high, 3));
    for (int64_t i = 0; i < kSteps / 2; ++i) {
      const __m512i both = LoadWeights(in + i * 64);
      const __m512i low = _mm512_and_si512(both, low_half);
      const __m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), low_half);
      _mm512_storeu_si512(out + i * 64, Widen(low, m_low, base_low));
      _mm512_storeu_si512(out + (kSteps / 2 + i) * 64, Widen(high, m_high, base_high));
    }
  }
}

// As RoundToInt8, with the same operations.
void RoundRow(std::span<const float> x, int8_t* values, float* scales, int32_t* sums) {
  const auto whole = static_cast<size_t>(std::ssize(x) / kGroupCols * kGroupCols);
  for (size_t begin = 0; begin < whole; begin += kGroupCols) {
    const float* in = x.data() + begin;
    __m512i highest = _mm512_setzero_si512();
    for (int64_t i = 0; i < kGroupCols; i += 16) {
      const __m512i bits = _mm512_castps_si512(_mm512_loadu_ps(in + i));
      highest = _mm512_max_epu32(highest, _mm512_and_si512(bits, _mm512_set1_epi32(0x7FFFFFFF)));
    }
    const auto bits = static_cast<uint32_t>(_mm512_reduce_max_epu32(highest));
    float magnitude = 0;
    std::memcpy(&magnitude, &bits, sizeof(bits));
    constexpr float kSmallest = 0x1p-126F * 127;
    if (bits >= 0x7F800000U || magnitude < kSmallest) {
      RoundToInt8(x.subspan(begin, kGroupCols), values, scales, sums);
    } else {
      const __m512 inverse = _mm512_set1_ps(127.0F / magnitude);
      *scales = magnitude / 127.0F;
      for (int64_t i = 0; i < kGroupCols; i += 16) {
        const __m512i rounded = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(in + i), inverse));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(values + i), _mm512_cvtepi32_epi8(rounded));
      }
      for (int64_t i = 0; i < kGroupCols; i += kSubgroupCols) {
        const __m256i part = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values + i));
        const __m512i wide = _mm512_cvtepi8_epi16(part);
        const __m512i pairs = _mm512_madd_epi16(wide, _mm512_set1_epi16(1));
        sums[i / kSubgroupCols] = _mm512_reduce_add_epi32(pairs);
      }
    }
    values += kGroupCols;
    ++scales;
    sums += kGroupCols / kSubgroupCols;
  }
  RoundToInt8(x.subspan(whole), values, scales, sums);
}

}  // namespace

const PanelKernels& Avx512Panels() {
  static constexpr PanelKernels kKernels = {.name = "cpu-avx512",
                                            .round_row = &RoundRow,
                                            .int8_tile = &Int8Tile,
                                            .int4_tile = &Int4Tile,
                                            .most_int4_rows = 8,
                                            .widen_int4 = &WidenInt4};
  return kKernels;
}

}  // namespace hadal::cpu
