#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "kernels/cpu/panel/panel_kernels.h"

namespace hadal::cpu {
namespace {

// Sums of a group: one for each row of a panel. What the compiler vectorises.
using RowSums = std::array<int32_t, kPanelRows>;

// sums[r] += the products of `num_cols` columns, a multiple of 4, of all rows.
void AddProducts(const std::byte* weights, const int8_t* x, int64_t num_cols, RowSums& sums) {
  for (int64_t i = 0; i < num_cols; i += 4) {
    for (size_t r = 0; r < kPanelRows; ++r) {
      for (size_t c = 0; c < 4; ++c) {
        const auto weight = static_cast<int32_t>(weights[r * 4 + c]) - kInt8Offset;
        sums[r] += weight * x[static_cast<size_t>(i) + c];
      }
    }
    weights += kPanelRows * 4;
  }
}

void Int8Tile(const PanelTile& tile) {
  constexpr int64_t kGroupChunks = kGroupCols / kChunkCols;
  for (int64_t p = 0; p < tile.num_panels; ++p) {
    const std::byte* group = tile.panels + p * tile.panel_stride;
    for (int64_t chunk = 0; chunk < tile.num_chunks; chunk += kGroupChunks) {
      const int64_t num_cols = std::min(kGroupChunks, tile.num_chunks - chunk) * kChunkCols;
      std::array<float, kPanelRows> scales;
      std::memcpy(scales.data(), group, kGroupHeaderBytes);
      for (int64_t t = 0; t < tile.x.count; ++t) {
        RowSums sums = {};
        AddProducts(group + kGroupHeaderBytes,
                    tile.x.values + t * tile.x.values_stride + chunk * kChunkCols,
                    num_cols,
                    sums);
        const float x_scale = tile.x.scales[t * tile.x.scales_stride + chunk / kGroupChunks];
        float* y = tile.y + t * kTileRows + p * kPanelRows;
        for (size_t r = 0; r < kPanelRows; ++r) {
          y[r] += static_cast<float>(sums[r]) * (scales[r] * x_scale);
        }
      }
      group += GroupBytes(WeightFormat::kInt8);
    }
  }
}

void WidenInt4(const std::byte* panel, int64_t num_chunks, std::byte* int8_panel) {
  constexpr int64_t kGroupChunks = kGroupCols / kChunkCols;
  const int64_t int4_chunk = ChunkBytes(WeightFormat::kInt4);
  for (int64_t chunk = 0; chunk < num_chunks; ++chunk) {
    const int64_t group = chunk / kGroupChunks;
    const std::byte* header = panel + group * GroupBytes(WeightFormat::kInt4);
    std::byte* int8_header = int8_panel + group * GroupBytes(WeightFormat::kInt8);
    const std::byte* in = header + kGroupHeaderBytes + chunk % kGroupChunks * int4_chunk;
    std::byte* out =
        int8_header + kGroupHeaderBytes + chunk % kGroupChunks * ChunkBytes(WeightFormat::kInt8);
    for (int64_t row = 0; row < kPanelRows; ++row) {
      uint32_t bits = 0;
      std::memcpy(&bits, header + row * 4, sizeof(bits));
      const uint32_t scale = bits & 0xFFFF0000U;
      std::memcpy(int8_header + row * 4, &scale, sizeof(scale));
      const uint32_t multipliers = bits >> (chunk % kGroupChunks * 8);
      const auto lower = static_cast<int32_t>(multipliers & 0xFU);
      const auto upper = static_cast<int32_t>(multipliers >> 4U & 0xFU);
      for (int64_t i = 0; i < int4_chunk / kGroupHeaderBytes; ++i) {
        for (int64_t c = 0; c < 4; ++c) {
          const int64_t place = i * kGroupHeaderBytes + row * 4 + c;
          const auto both = static_cast<int32_t>(in[place]);
          out[place] = static_cast<std::byte>((both % 16 - kInt4Offset) * lower + kInt8Offset);
          out[int4_chunk + place] =
              static_cast<std::byte>((both / 16 - kInt4Offset) * upper + kInt8Offset);
        }
      }
    }
  }
}

}  // namespace

const PanelKernels& PortablePanels() {
  static constexpr PanelKernels kKernels = {.name = "cpu-portable",
                                            .round_row = &RoundToInt8,
                                            .int8_tile = &Int8Tile,
                                            .int4_tile = nullptr,
                                            .most_int4_rows = 0,
                                            .widen_int4 = &WidenInt4};
  return kKernels;
}

}  // namespace hadal::cpu
