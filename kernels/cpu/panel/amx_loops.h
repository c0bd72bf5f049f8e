#pragma once

// Products with quantised panels on tile registers (see amx/hardware_tiles.h).
//
// A chunk of a panel is one B tile. A block is 32 input rows by 2 panels: 4 products for 4 tiles
// loaded. What bounds it: the products (16 cycles each), beside which the sums of a group of two
// chunks become floats, by Rows::AddScaled(sums, offset, weight_scales, x_scale, y), which computes
// y[r] = fma(float(sums[r] - offset), weight_scales[r] * x_scale, y[r]) for the rows of a panel.

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>

#include "kernels/cpu/panel/panel_kernels.h"

namespace hadal::cpu {

template <typename Tiles, typename Rows>
struct AmxLoops {
  static constexpr int64_t kTileInputs = 16;
  static constexpr int64_t kGroupChunks = kGroupCols / kChunkCols;
  using Sums = std::array<std::array<int32_t, kPanelRows>, kTileInputs>;
  using Offsets = std::array<int32_t, 2 * kTileInputs>;

  /// PanelKernels::int8_tile.
  static void Int8Tile(const PanelTile& tile) {
    for (int64_t first = 0; first < tile.x.count; first += 2 * kTileInputs) {
      const int64_t count = tile.x.count - first;
      const int64_t rows0 = std::min(kTileInputs, count);
      const int64_t rows1 = std::clamp(count - kTileInputs, int64_t{0}, kTileInputs);
      Tiles::Configure(rows0, rows1 > 0 ? rows1 : kTileInputs);
      PanelTile group = tile;
      group.x = tile.x.Part(first, rows0 + rows1, 0);
      group.y += first * kTileRows;
      for (int64_t chunk = 0; chunk < tile.num_chunks; chunk += kGroupChunks) {
        group.num_chunks = std::min(kGroupChunks, tile.num_chunks - chunk);
        rows1 > 0 ? Group<2>(group, first == 0) : Group<1>(group, first == 0);
        group.panels += GroupBytes(WeightFormat::kInt8);
        group.x = group.x.Part(0, group.x.count, 1);
      }
    }
  }

 private:
  // One group of columns: input rows of one or two tiles times all panels. The panels' next groups
  // are fetched from memory when they are `new_weights`.
  template <int kInputs>
  static void Group(const PanelTile& group, bool new_weights) {
    const Offsets offsets = OffsetsOf(group.x, group.num_chunks);
    PanelTile block = group;
    int64_t p = 0;
    for (; p + 2 <= group.num_panels; p += 2) {
      Block<kInputs, 2>(block, offsets, new_weights);
      block.panels += 2 * group.panel_stride;
      block.y += 2 * kPanelRows;
    }
    if (p < group.num_panels) {
      Block<kInputs, 1>(block, offsets, new_weights);
    }
  }

  // Sums: tile 2 * input + panel; inputs: tiles 4 and 5; panels: 6 and 7.
  template <int kInputs, int kPanels>
  static void Block(const PanelTile& block, const Offsets& offsets, bool new_weights) {
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
    for (int64_t c = 0; c < block.num_chunks; ++c) {
      const std::byte* weights =
          block.panels + kGroupHeaderBytes + c * ChunkBytes(WeightFormat::kInt8);
      MultiplyChunk<kInputs, kPanels>(block, block.x.values + c * kChunkCols, weights);
      for (int64_t p = 0; p < kPanels && new_weights; ++p) {
        const std::byte* next = weights + p * block.panel_stride + GroupBytes(WeightFormat::kInt8);
        for (int64_t line = 0; line < ChunkBytes(WeightFormat::kInt8); line += 64) {
          __builtin_prefetch(next + line, 0, 2);
        }
      }
    }
    AddSums<0, 0>(block, offsets);
    if constexpr (kPanels == 2) {
      AddSums<0, 1>(block, offsets);
    }
    if constexpr (kInputs == 2) {
      AddSums<1, 0>(block, offsets);
      if constexpr (kPanels == 2) {
        AddSums<1, 1>(block, offsets);
      }
    }
  }

  template <int kInputs, int kPanels>
  static void MultiplyChunk(const PanelTile& block,
                            const int8_t* values,
                            const std::byte* weights) {
    Tiles::template Load<6>(weights, kChunkCols);
    Tiles::template Load<4>(values, block.x.values_stride);
    Tiles::template DotSignedUnsigned<0, 4, 6>();
    if constexpr (kPanels == 2) {
      Tiles::template Load<7>(weights + block.panel_stride, kChunkCols);
      Tiles::template DotSignedUnsigned<1, 4, 7>();
    }
    if constexpr (kInputs == 2) {
      Tiles::template Load<5>(values + kTileInputs * block.x.values_stride, block.x.values_stride);
      Tiles::template DotSignedUnsigned<2, 5, 6>();
      if constexpr (kPanels == 2) {
        Tiles::template DotSignedUnsigned<3, 5, 7>();
      }
    }
  }

  // What the weights' offset adds to the sums of each input row.
  static Offsets OffsetsOf(const Int8Rows& x, int64_t num_chunks) {
    Offsets offsets;
    const int64_t num_subgroups = num_chunks * (kChunkCols / kSubgroupCols);
    for (int64_t t = 0; t < x.count; ++t) {
      const int32_t* sums = x.sums + t * x.sums_stride;
      offsets[static_cast<size_t>(t)] =
          kInt8Offset * std::accumulate(sums, sums + num_subgroups, 0);
    }
    return offsets;
  }

  // y += the sums of input tile kInput and the kPanel-th panel, less the offsets.
  template <int kInput, int kPanel>
  static void AddSums(const PanelTile& block, const Offsets& offsets) {
    alignas(64) Sums sums;
    Tiles::template Store<2 * kInput + kPanel>(sums.data(), sizeof(sums[0]));
    alignas(64) std::array<float, kPanelRows> weight_scales;
    std::memcpy(
        weight_scales.data(), block.panels + kPanel * block.panel_stride, kGroupHeaderBytes);
    const int64_t begin = kInput * kTileInputs;
    const int64_t end = std::min(block.x.count, begin + kTileInputs);
    for (int64_t t = begin; t < end; ++t) {
      const int32_t* row = sums[static_cast<size_t>(t - begin)].data();
      const int32_t offset = offsets[static_cast<size_t>(t)];
      const float x_scale = block.x.scales[t * block.x.scales_stride];
      float* y = block.y + t * kTileRows + kPanel * kPanelRows;
      Rows::AddScaled(row, offset, weight_scales.data(), x_scale, y);
    }
  }
};

}  // namespace hadal::cpu
