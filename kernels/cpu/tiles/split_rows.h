#pragma once

// Float inputs as sums of two bf16 numbers, laid out for products on tile registers.

#include <bit>
#include <cstdint>

#include "base/dtype.h"

namespace hadal::cpu {

/// x = high + low, but for a rest of at most 2^-17 |x|.
struct SplitFloat {
  bf16 high;
  bf16 low;
};

/// High is the nearest bf16 number, low the nearest to what is left. Finite x gives finite parts:
/// to above the largest bf16 number nothing is rounded (the rest is then at most 2^-16 |x|).
/// Infinity and NaN stay what they are, with low = 0. Tile products take parts below 2^-126 for 0.
inline SplitFloat Split(float x) {
  const uint32_t magnitude = std::bit_cast<uint32_t>(x) & 0x7FFFFFFFU;
  bf16 high = ToBf16(x);
  if (magnitude >= 0x7F800000U) {
    return {.high = high, .low = {0}};
  }
  if ((high.bits & 0x7FFFU) == 0x7F80U) {
    --high.bits;
  }
  return {.high = high, .low = ToBf16(x - ToFloat(high))};
}

inline constexpr int64_t kSplitInputs = 8;  // input rows of a group
inline constexpr int64_t kSplitCols = 32;   // columns of a tile
inline constexpr int64_t kSplitTileSize = 512;

/// Where a tile holds column `col` < kSplitCols of a group's input `input`: the part high, and two
/// elements on the part low. A row of a tile is two columns of the weights; within it, input j's
/// high parts are tile column 2j, its low parts 2j + 1.
constexpr int64_t SplitIndex(int64_t input, int64_t col) {
  return col / 2 * (4 * kSplitInputs) + input * 4 + col % 2;
}

constexpr int64_t NumSplitTiles(int64_t cols) {
  return (cols + kSplitCols - 1) / kSplitCols;
}

/// Input rows [first, first + count) of those in `groups`, each of kSplitInputs rows with
/// NumSplitTiles tiles for the columns. Rows and columns that fill up a tile are 0.
struct SplitRows {
  const bf16* groups = nullptr;
  int64_t group_stride = 0;  // in elements
  int64_t first = 0;
  int64_t count = 0;

  [[nodiscard]] SplitRows Part(int64_t begin, int64_t num_rows) const {
    return {
        .groups = groups, .group_stride = group_stride, .first = first + begin, .count = num_rows};
  }
};

}  // namespace hadal::cpu
