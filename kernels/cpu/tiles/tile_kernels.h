#pragma once

#include <array>
#include <cstdint>

#include "base/dtype.h"
#include "kernels/cpu/panel/panel_kernels.h"
#include "kernels/cpu/tiles/split_rows.h"
#include "kernels/weight_matrix.h"

namespace hadal::cpu {

/// Groups of inputs that one call takes at most: what a piece of the weights is brought into the L1
/// cache for. Their sums stay in the L2 cache.
inline constexpr int64_t kMostSplitGroups = 16;

/// Some weight rows times groups of inputs.
struct TileProduct {
  const WeightMatrix& weight;  // kBf16, or kFp8Block with blocks that TakesTiles accepts
  int64_t first_row;           // with kFp8Block a multiple of 16
  int64_t num_rows;            // 1..kTileRows
  const bf16* inputs;          // the first group
  int64_t group_stride;        // in elements
  int64_t num_groups;          // 1..kMostSplitGroups
  float* y;                    // [num_groups * kSplitInputs, kTileRows], written
};

/// Products of float inputs and native weights on tile registers. An output is the sum of its two
/// tile columns; a tile column depends on its input and its weights alone, whatever is beside them:
///   kBf16: the products of one tile of columns after the other (DotBf16 of amx/hardware_tiles.h);
///   kFp8Block: the same over at most 128 columns of a block, from 0; then one fused multiply-add
///   with the block's scale to the sum.
struct TileKernels {
  /// Splits `count` <= kSplitInputs rows of `cols` columns into a group: all elements of its
  /// NumSplitTiles(cols) tiles.
  void (*split_group)(const std::array<const float*, kSplitInputs>& rows,
                      int64_t count,
                      int64_t cols,
                      bf16* tiles);

  void (*multiply)(const TileProduct& product);
};

/// What the loops over tiles do in vector registers.
struct TileLanes {
  /// TileKernels::split_group.
  void (*split_group)(const std::array<const float*, kSplitInputs>& rows,
                      int64_t count,
                      int64_t cols,
                      bf16* tiles);

  /// tile[r, c] = x[r * stride + c] for r < num_rows <= 16 and c < num_cols <= 32, and 0 in the
  /// rest of [16, 32].
  void (*widen_fp8)(
      const fp8_e4m3* x, int64_t stride, int64_t num_rows, int64_t num_cols, bf16* tile);

  /// y[i * kTileRows + r] = tile[r, 2i] + tile[r, 2i + 1], for a tile [16, 2 * kSplitInputs].
  void (*add_parts)(const float* tile, float* y);
};

const TileLanes& Avx512TileLanes();
const TileKernels& AmxTiles();

}  // namespace hadal::cpu
