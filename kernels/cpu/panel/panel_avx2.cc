// 32 bytes hold 4 columns of 8 weight rows. VPMADDUBSW multiplies unsigned by signed bytes and adds
// pairs to 16 bits, saturating: with |x| and w * sign(x), at most 127 each, a pair stays below
// 2^15 and the sum is exact.

#include <algorithm>
#include <cstring>
#include <immintrin.h>

#include "kernels/cpu/panel/panel_kernels.h"

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

// (value + 8) and a multiplier of each 4 bytes to value * multiplier + 128, by 16-bit products of
// the even and the odd bytes.
__m256i Widen(__m256i halves, __m256i multipliers, __m256i base) {
  const __m256i even = _mm256_and_si256(halves, _mm256_set1_epi16(0x00FF));
  const __m256i odd = _mm256_srli_epi16(halves, 8);
  const __m256i low = _mm256_add_epi16(_mm256_mullo_epi16(even, multipliers), base);
  const __m256i high = _mm256_add_epi16(_mm256_mullo_epi16(odd, multipliers), base);
  return _mm256_or_si256(low, _mm256_slli_epi16(high, 8));
}

// 8 rows of one chunk; `half` is where they lie, in bytes of a header or of 64.
void WidenChunk(const std::byte* in,
                const std::byte* header,
                int64_t chunk_of_group,
                int64_t half,
                std::byte* out) {
  const __m256i low_half = _mm256_set1_epi8(0x0F);
  const __m256i four_bits = _mm256_set1_epi32(0xF);
  const __m256i ones = _mm256_set1_epi32(0x10001);
  const __m256i offset = _mm256_set1_epi16(kInt8Offset);
  const __m256i shifted = _mm256_srl_epi32(Load(header + half),
                                           _mm_cvtsi32_si128(static_cast<int>(chunk_of_group * 8)));
  const __m256i m_low = _mm256_mullo_epi32(_mm256_and_si256(shifted, four_bits), ones);
  const __m256i m_high =
      _mm256_mullo_epi32(_mm256_and_si256(_mm256_srli_epi32(shifted, 4), four_bits), ones);
  const __m256i base_low = _mm256_sub_epi16(offset, _mm256_slli_epi16(m_low, 3));
  const __m256i base_high = _mm256_sub_epi16(offset, _mm256_slli_epi16(m_high, 3));
  for (int64_t i = 0; i < kSteps / 2; ++i) {
    const __m256i both = Load(in + i * 64 + half);
    const __m256i low = _mm256_and_si256(both, low_half);
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), low_half);
    std::byte* low_out = out + i * 64 + half;
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(low_out), Widen(low, m_low, base_low));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(low_out + kSteps / 2 * 64),
                        Widen(high, m_high, base_high));
  }
}

void WidenInt4(const std::byte* panel, int64_t num_chunks, std::byte* int8_panel) {
  for (int64_t chunk = 0; chunk < num_chunks; ++chunk) {
    const int64_t group = chunk / kGroupChunks;
    const int64_t c = chunk % kGroupChunks;
    const std::byte* header = panel + group * GroupBytes(WeightFormat::kInt4);
    std::byte* out = int8_panel + group * GroupBytes(WeightFormat::kInt8);
    for (const int64_t half : {0, 32}) {
      const __m256i scales = _mm256_and_si256(Load(header + half), _mm256_set1_epi32(-0x10000));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + half), scales);
      WidenChunk(header + kGroupHeaderBytes + c * ChunkBytes(WeightFormat::kInt4),
                 header,
                 c,
                 half,
                 out + kGroupHeaderBytes + c * ChunkBytes(WeightFormat::kInt8));
    }
  }
}

}  // namespace

const PanelKernels& Avx2Panels() {
  static constexpr PanelKernels kKernels = {.name = "cpu-avx2",
                                            .round_row = &RoundToInt8,
                                            .int8_tile = &Int8Tile,
                                            .int4_tile = nullptr,
                                            .most_int4_rows = 0,
                                            .widen_int4 = &WidenInt4};
  return kKernels;
}

}  // namespace hadal::cpu
