#pragma once

// Products with quantised panels on tile registers (see amx/hardware_tiles.h).
//
// A chunk of a panel is one B tile. A block is 32 input rows by 2 panels: 4 products for 4 tiles
// loaded. What bounds it: the products (16 cycles each), beside which the sums of a group of two
// chunks become floats.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "kernels/cpu/panel/panel_kernels.h"

namespace hadal::cpu {

template <typename Tiles>
struct AmxLoops {
  static constexpr int64_t kTileInputs = 16;
  static constexpr int64_t kGroupChunks = kGroupCols / kChunkCols;
  using Sums = std::array<std::array<int32_t, kPanelRows>, kTileInputs>;

  /// PanelKernels::int8_tile.
  static void Int8Tile(const PanelTile& tile) {
    for (int64_t first = 0; first < tile.x.count; first += 2 * kTileInputs) {
      const int64_t count = tile.x.count - first;
      const int64_t rows0 = std::min(kTileInputs, count);
      const int64_t rows1 = std::clamp(count - kTileInputs, int64_t{0}, kTileInputs);
      Tiles::Configure(rows0, rows1 > 0 ? rows1 : kTileInputs);
      PanelTile block = tile;
      block.x = tile.x.Part(first, rows0 + rows1, 0);
      block.y = tile.y + first * kTileRows;
      int64_t p = 0;
      for (; p + 2 <= tile.num_panels; p += 2) {
        rows1 > 0 ? Block<2, 2>(block, p) : Block<1, 2>(block, p);
      }
      if (p < tile.num_panels) {
        rows1 > 0 ? Block<2, 1>(block, p) : Block<1, 1>(block, p);
      }
    }
  }

 private:
  // Input rows of one or two tiles times one or two panels. Sums: tile 2 * input + panel; inputs:
  // tiles 4 and 5; panels: 6 and 7.
  template <int kInputs, int kPanels>
  static void Block(const PanelTile& tile, int64_t panel) {
    const std::byte* groups = tile.panels + panel * tile.panel_stride;
    for (int64_t chunk = 0; chunk < tile.num_chunks; chunk += kGroupChunks) {
      const int64_t num_chunks = std::min(kGroupChunks, tile.num_chunks - chunk);
      Tiles::template Zero<0>();
      if constexpr (kPanels == 2) {
        Tiles::template Zero<1>();
      }
      if constexpr (kInputs == 2) {
        Tiles::template Zero<2>();
        if constexpr (kPanels == 2) {
          Tiles::template Zero<3>();
        }
      }
      for (int64_t c = 0; c < num_chunks; ++c) {
        MultiplyChunk<kInputs, kPanels>(
            tile,
            tile.x.values + (chunk + c) * kChunkCols,
            groups + kGroupHeaderBytes + c * ChunkBytes(WeightFormat::kInt8));
      }
      AddSums<0, 0>(tile, panel, chunk, groups);
      if constexpr (kPanels == 2) {
        AddSums<0, 1>(tile, panel, chunk, groups);
      }
      if constexpr (kInputs == 2) {
        AddSums<1, 0>(tile, panel, chunk, groups);
        if constexpr (kPanels == 2) {
          AddSums<1, 1>(tile, panel, chunk, groups);
        }
      }
      groups += GroupBytes(WeightFormat::kInt8);
    }
  }

  template <int kInputs, int kPanels>
  static void MultiplyChunk(const PanelTile& tile, const int8_t* values, const std::byte* weights) {
    Tiles::template Load<6>(weights, kChunkCols);
    Tiles::template Load<4>(values, tile.x.values_stride);
    Tiles::template DotSignedUnsigned<0, 4, 6>();
    if constexpr (kPanels == 2) {
      Tiles::template Load<7>(weights + tile.panel_stride, kChunkCols);
      Tiles::template DotSignedUnsigned<1, 4, 7>();
    }
    if constexpr (kInputs == 2) {
      Tiles::template Load<5>(values + kTileInputs * tile.x.values_stride, tile.x.values_stride);
      Tiles::template DotSignedUnsigned<2, 5, 6>();
      if constexpr (kPanels == 2) {
        Tiles::template DotSignedUnsigned<3, 5, 7>();
      }
    }
  }

  // y += the sums of input tile kInput and the kPanel-th panel, less what the weights' offset
  // added.
  template <int kInput, int kPanel>
  static void AddSums(const PanelTile& tile,
                      int64_t panel,
                      int64_t chunk,
                      const std::byte* groups) {
    alignas(64) Sums sums;
    Tiles::template Store<2 * kInput + kPanel>(sums.data(), sizeof(sums[0]));
    alignas(64) std::array<float, kPanelRows> weight_scales;
    std::memcpy(weight_scales.data(), groups + kPanel * tile.panel_stride, kGroupHeaderBytes);
    const int64_t group = chunk / kGroupChunks;
    const int64_t num_subgroups =
        std::min(kGroupChunks, tile.num_chunks - chunk) * (kChunkCols / kSubgroupCols);
    const int64_t end = std::min(tile.x.count, (kInput + 1) * kTileInputs);
    for (int64_t t = kInput * kTileInputs; t < end; ++t) {
      const int32_t* x_sums =
          tile.x.sums + t * tile.x.sums_stride + group * (kGroupCols / kSubgroupCols);
      int32_t offset = 0;
      for (int64_t s = 0; s < num_subgroups; ++s) {
        offset += kInt8Offset * x_sums[s];
      }
      const float x_scale = tile.x.scales[t * tile.x.scales_stride + group];
      const auto& row = sums[static_cast<size_t>(t - kInput * kTileInputs)];
      float* y = tile.y + t * kTileRows + (panel + kPanel) * kPanelRows;
      for (size_t r = 0; r < kPanelRows; ++r) {
        y[r] = std::fma(static_cast<float>(row[r] - offset), weight_scales[r] * x_scale, y[r]);
      }
    }
  }
};

}  // namespace hadal::cpu
