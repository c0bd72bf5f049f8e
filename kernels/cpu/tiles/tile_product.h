#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "kernels/cpu/tiles/tile_kernels.h"
#include "kernels/weight_matrix.h"

namespace hadal::cpu {

/// True when products with `weight` are made on tile registers, where there are any: bf16, and fp8
/// with blocks made of whole tiles. A matter of the weight alone, so that a row's bits do not
/// depend on the batch.
inline bool TakesTiles(const WeightMatrix& weight) {
  return weight.format == WeightFormat::kBf16 ||
         (weight.format == WeightFormat::kFp8Block && weight.block_rows % kPanelRows == 0 &&
          weight.block_cols % kSplitCols == 0);
}

/// Calls emit(i, r, sums) for all rows i of x and weight rows r in [begin, end), some of them at a
/// time, `sums` being the span of those from r on.
/// REQUIRES: TakesTiles(weight); begin is a multiple of kPanelRows.
template <typename Emit>
void TileDots(const TileKernels& tiles,
              const SplitRows& x,
              const WeightMatrix& weight,
              int64_t begin,
              int64_t end,
              Emit emit) {
  alignas(64) std::array<std::array<float, kTileRows>, kMostSplitGroups * kSplitInputs> sums;
  const int64_t x_end = x.first + x.count;
  const int64_t group_end = (x_end + kSplitInputs - 1) / kSplitInputs;
  for (int64_t row = begin; row < end; row += kTileRows) {
    const int64_t num_rows = std::min(kTileRows, end - row);
    for (int64_t group = x.first / kSplitInputs; group < group_end; group += kMostSplitGroups) {
      const int64_t num_groups = std::min(kMostSplitGroups, group_end - group);
      tiles.multiply({.weight = weight,
                      .first_row = row,
                      .num_rows = num_rows,
                      .inputs = x.groups + group * x.group_stride,
                      .group_stride = x.group_stride,
                      .num_groups = num_groups,
                      .y = sums.front().data()});
      const int64_t first = group * kSplitInputs;
      const int64_t last = std::min(x_end, first + num_groups * kSplitInputs);
      for (int64_t i = std::max(x.first, first); i < last; ++i) {
        emit(i - x.first,
             row,
             std::span<const float>(sums[static_cast<size_t>(i - first)])
                 .first(static_cast<size_t>(num_rows)));
      }
    }
  }
}

}  // namespace hadal::cpu
