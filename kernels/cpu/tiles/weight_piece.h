#pragma once

// Some rows and columns of a weight matrix as tiles, in memory of the L1 cache.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/tiles/tile_block.h"
#include "kernels/cpu/tiles/tile_kernels.h"

namespace hadal::cpu {

inline constexpr int64_t kPieceTiles = 4;  // side by side
inline constexpr int64_t kPieceCols = kPieceTiles * kSplitCols;

/// [kTileRows / 16][kPieceTiles] tiles.
using WeightPiece = std::array<std::array<bf16, kPieceTiles * kSplitTileSize>, kTilePanels>;

/// Prefetches one line of each of `rows` rows into the L2 cache: in the L1 cache, rows whose length
/// is a multiple of 2 KiB would push each other out.
inline void PrefetchRows(const std::byte* data, int64_t stride, int64_t rows) {
  for (int64_t r = 0; r < rows; ++r) {
    __builtin_prefetch(data + r * stride, /*rw=*/0, /*locality=*/2);
  }
}

/// TileLanes::widen_fp8 for weights that are bf16 already.
inline void CopyTile(const bf16* x, int64_t stride, int64_t rows, int64_t width, bf16* tile) {
  if (rows == kPanelRows && width == kSplitCols) {
    for (int64_t r = 0; r < kPanelRows; ++r) {
      std::memcpy(tile + r * kSplitCols, x + r * stride, kTileRowBytes);
    }
    return;
  }
  std::fill_n(tile, kSplitTileSize, bf16{0});
  for (int64_t r = 0; r < rows; ++r) {
    std::copy_n(x + r * stride, width, tile + r * kSplitCols);
  }
}

/// The weights of columns [begin, end) as tiles, filled up with zeros.
inline void FillPiece(const TileLanes& lanes,
                      const TileProduct& product,
                      int64_t begin,
                      int64_t end,
                      WeightPiece& piece) {
  const int64_t cols = product.weight.cols;
  for (int64_t row = 0; row < product.num_rows; row += kPanelRows) {
    const int64_t rows = std::min(kPanelRows, product.num_rows - row);
    const int64_t first = (product.first_row + row) * cols;
    bf16* tile = piece[static_cast<size_t>(row / kPanelRows)].data();
    for (int64_t col = begin; col < end; col += kSplitCols) {
      const int64_t width = std::min(kSplitCols, end - col);
      if (product.weight.format == WeightFormat::kFp8Block) {
        const auto* x = static_cast<const fp8_e4m3*>(product.weight.payload) + first + col;
        if (col + 2 * kPieceCols < cols && (col - begin) % kTileRowBytes == 0) {
          PrefetchRows(reinterpret_cast<const std::byte*>(x) + kPieceCols, cols, rows);
        }
        lanes.widen_fp8(x, cols, rows, width, tile);
      } else {
        CopyTile(static_cast<const bf16*>(product.weight.payload) + first + col,
                 cols,
                 rows,
                 width,
                 tile);
      }
      tile += kSplitTileSize;
    }
  }
}

/// The scale of a kFp8Block element.
inline float WeightScaleAt(const WeightMatrix& weight, int64_t row, int64_t col) {
  const int64_t scales_per_row = (weight.cols + weight.block_cols - 1) / weight.block_cols;
  return weight.scales[row / weight.block_rows * scales_per_row + col / weight.block_cols];
}

}  // namespace hadal::cpu
