#pragma once

// Products with native weights on tile registers (see amx/hardware_tiles.h).
//
// What bounds them: reading weights with one or two groups of inputs, products (16 cycles each)
// with many. With few, bf16 weights are tiles where they lie, the sums stay in registers for whole
// rows, and rows are read side by side and ahead. With many, and with fp8 always, a piece of 64
// rows by 128 columns is brought into tiles in the L1 cache, which all groups pass; blocks of 2
// weight tiles by 2 groups make 4 products for 4 tiles loaded. Both ways take the same sums in the
// same order.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>

#include "kernels/cpu/tiles/tile_block.h"
#include "kernels/cpu/tiles/tile_kernels.h"
#include "kernels/cpu/tiles/weight_piece.h"

namespace hadal::cpu {

template <typename Tiles, const TileLanes& (*kLanes)()>
struct TileLoops {
  /// TileKernels::multiply.
  static void Multiply(const TileProduct& product) {
    alignas(64) Sums sums;
    for (int64_t group = 0; group < product.num_groups; ++group) {
      for (int64_t tile = 0; tile * kPanelRows < product.num_rows; ++tile) {
        At(sums, tile, group).fill(0);
      }
    }
    if (product.weight.format == WeightFormat::kBf16 && product.num_groups <= 2) {
      MultiplyInPlace(product, sums);
    } else {
      MultiplyPieces(product, sums);
    }
    for (int64_t group = 0; group < product.num_groups; ++group) {
      for (int64_t tile = 0; tile * kPanelRows < product.num_rows; ++tile) {
        kLanes().add_parts(At(sums, tile, group).data(),
                           product.y + group * kSplitInputs * kTileRows + tile * kPanelRows);
      }
    }
  }

 private:
  using Block = TileBlock<Tiles>;
  static constexpr int64_t kPrefetchTiles = 8;

  using SumTile = std::array<float, kPanelRows * kPanelRows>;
  using Sums = std::array<std::array<SumTile, kTilePanels>, kMostSplitGroups>;

  static SumTile& At(Sums& sums, int64_t tile, int64_t group) {
    return sums[static_cast<size_t>(group)][static_cast<size_t>(tile)];
  }

  // All products with one or two groups, from weights where they lie.
  static void MultiplyInPlace(const TileProduct& product, Sums& sums) {
    for (int64_t tile = 0; tile * kPanelRows < product.num_rows;) {
      const int64_t rows = product.num_rows - tile * kPanelRows;
      if (product.num_groups == 1 && rows >= 4 * kPanelRows) {
        RowBlock<4, 1>(product, tile, sums);
        tile += 4;
      } else if (rows > kPanelRows) {
        product.num_groups == 1 ? RowBlock<2, 1>(product, tile, sums)
                                : RowBlock<2, 2>(product, tile, sums);
        tile += 2;
      } else {
        product.num_groups == 1 ? RowBlock<1, 1>(product, tile, sums)
                                : RowBlock<1, 2>(product, tile, sums);
        tile += 1;
      }
    }
  }

  template <int kWeights, int kGroups>
  static void RowBlock(const TileProduct& product, int64_t tile, Sums& sums) {
    const int64_t rows = std::min(kWeights * kPanelRows, product.num_rows - tile * kPanelRows);
    Tiles::Configure(std::min(kPanelRows, rows),
                     kWeights == 1 ? kPanelRows : std::min(kPanelRows, rows - kPanelRows));
    Block::template ForSums<kWeights, kGroups>(
        [](auto number, int64_t, int64_t) { Tiles::template Zero<number>(); });

    const int64_t cols = product.weight.cols;
    const auto stride = cols * static_cast<int64_t>(sizeof(bf16));
    const std::byte* weights = static_cast<const std::byte*>(product.weight.payload) +
                               (product.first_row + tile * kPanelRows) * stride;
    const bf16* inputs = product.inputs;
    const int64_t num_whole = cols / kSplitCols;
    for (int64_t i = 0; i < num_whole; ++i) {
      if (i + kPrefetchTiles < num_whole) {
        PrefetchRows(weights + kPrefetchTiles * kTileRowBytes, stride, rows);
      }
      Block::template MultiplyTiles<kWeights, kGroups>(
          weights, stride, kPanelRows * stride, inputs, product.group_stride);
      weights += kTileRowBytes;
      inputs += kSplitTileSize;
    }
    if (const int64_t rest = stride % kTileRowBytes; rest > 0) {
      alignas(64) std::array<std::byte, kWeights* kTileBytes> filled_up = {};
      for (int64_t r = 0; r < rows; ++r) {
        std::memcpy(
            filled_up.data() + r * kTileRowBytes, weights + r * stride, static_cast<size_t>(rest));
      }
      Block::template MultiplyTiles<kWeights, kGroups>(
          filled_up.data(), kTileRowBytes, kTileBytes, inputs, product.group_stride);
    }
    Block::template ForSums<kWeights, kGroups>([&](auto number, int64_t w, int64_t group) {
      Tiles::template Store<number>(At(sums, tile + w, group).data(), kTileRowBytes);
    });
  }

  // All products, piece by piece of the weights' columns.
  static void MultiplyPieces(const TileProduct& product, Sums& sums) {
    const WeightMatrix& weight = product.weight;
    const int64_t num_tiles = (product.num_rows + kPanelRows - 1) / kPanelRows;
    Tiles::Configure(kPanelRows, kPanelRows);
    alignas(64) WeightPiece piece;
    for (int64_t begin = 0; begin < weight.cols;) {
      int64_t end = std::min(begin + kPieceCols, weight.cols);
      if (weight.format == WeightFormat::kFp8Block) {
        end = std::min(end, (begin / weight.block_cols + 1) * weight.block_cols);
      }
      FillPiece(kLanes(), product, begin, end, piece);
      for (int64_t group = 0; group < product.num_groups; group += 2) {
        const bool pair = group + 1 < product.num_groups;
        for (int64_t tile = 0; tile < num_tiles; tile += 2) {
          if (tile + 1 < num_tiles) {
            pair ? PieceBlock<2, 2>(product, begin, end, piece, tile, group, sums)
                 : PieceBlock<2, 1>(product, begin, end, piece, tile, group, sums);
          } else {
            pair ? PieceBlock<1, 2>(product, begin, end, piece, tile, group, sums)
                 : PieceBlock<1, 1>(product, begin, end, piece, tile, group, sums);
          }
        }
      }
      begin = end;
    }
  }

  template <int kWeights, int kGroups>
  static void PieceBlock(const TileProduct& product,
                         int64_t begin,
                         int64_t end,
                         const WeightPiece& piece,
                         int64_t tile,
                         int64_t group,
                         Sums& sums) {
    const bool scaled = product.weight.format == WeightFormat::kFp8Block;
    Block::template ForSums<kWeights, kGroups>([&](auto number, int64_t w, int64_t g) {
      if (scaled) {
        Tiles::template Zero<number>();
      } else {
        Tiles::template Load<number>(At(sums, tile + w, group + g).data(), kTileRowBytes);
      }
    });
    const auto* weights =
        reinterpret_cast<const std::byte*>(piece[static_cast<size_t>(tile)].data());
    const bf16* inputs =
        product.inputs + group * product.group_stride + begin / kSplitCols * kSplitTileSize;
    for (int64_t col = begin; col < end; col += kSplitCols) {
      Block::template MultiplyTiles<kWeights, kGroups>(
          weights, kTileRowBytes, kPieceTiles * kTileBytes, inputs, product.group_stride);
      weights += kTileBytes;
      inputs += kSplitTileSize;
    }
    Block::template ForSums<kWeights, kGroups>([&](auto number, int64_t w, int64_t g) {
      SumTile& sum = At(sums, tile + w, group + g);
      if (!scaled) {
        Tiles::template Store<number>(sum.data(), kTileRowBytes);
        return;
      }
      alignas(64) SumTile products;
      Tiles::template Store<number>(products.data(), kTileRowBytes);
      const float scale =
          WeightScaleAt(product.weight, product.first_row + (tile + w) * kPanelRows, begin);
      for (size_t i = 0; i < sum.size(); ++i) {
        sum[i] = std::fma(products[i], scale, sum[i]);
      }
    });
  }
};

}  // namespace hadal::cpu
