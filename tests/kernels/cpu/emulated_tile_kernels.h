#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "kernels/cpu/tiles/tile_loops.h"
#include "tests/kernels/cpu/emulated_tiles.h"

namespace hadal::cpu {

inline void SplitGroupByDefinition(const std::array<const float*, kSplitInputs>& rows,
                                   int64_t count,
                                   int64_t cols,
                                   bf16* tiles) {
  std::fill_n(tiles, NumSplitTiles(cols) * kSplitTileSize, bf16{0});
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t col = 0; col < cols; ++col) {
      const SplitFloat parts = Split(rows[static_cast<size_t>(i)][col]);
      bf16* high = tiles + col / kSplitCols * kSplitTileSize + SplitIndex(i, col % kSplitCols);
      high[0] = parts.high;
      high[2] = parts.low;
    }
  }
}

inline void WidenFp8ByDefinition(
    const fp8_e4m3* x, int64_t stride, int64_t num_rows, int64_t num_cols, bf16* tile) {
  std::fill_n(tile, kSplitTileSize, bf16{0});
  for (int64_t r = 0; r < num_rows; ++r) {
    for (int64_t c = 0; c < num_cols; ++c) {
      tile[r * kSplitCols + c] = ToBf16(ToFloat(x[r * stride + c]));
    }
  }
}

inline void AddPartsByDefinition(const float* tile, float* y) {
  for (int64_t i = 0; i < kSplitInputs; ++i) {
    for (int64_t r = 0; r < kPanelRows; ++r) {
      y[i * kTileRows + r] =
          tile[r * 2 * kSplitInputs + 2 * i] + tile[r * 2 * kSplitInputs + 2 * i + 1];
    }
  }
}

// What vector registers do, by its definition.
inline const TileLanes& ScalarTileLanes() {
  static constexpr TileLanes kLanes = {.split_group = &SplitGroupByDefinition,
                                       .widen_fp8 = &WidenFp8ByDefinition,
                                       .add_parts = &AddPartsByDefinition};
  return kLanes;
}

// The back end's loops over tiles in plain memory.
inline const TileKernels& EmulatedTileKernels() {
  static constexpr TileKernels kKernels = {
      .split_group = &SplitGroupByDefinition,
      .multiply = &TileLoops<EmulatedTiles<void>, &ScalarTileLanes>::Multiply};
  return kKernels;
}

}  // namespace hadal::cpu
