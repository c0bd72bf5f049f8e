#pragma once

#include "kernels/cuda/product/plan.h"
#include "kernels/cuda/product/stage.h"

namespace hadal::cuda {

/// A weight that takes tensor cores, as the loop of product/tile.h reads it. Rows are `row_cols`
/// columns apart.
inline TileWeight MakeTileWeight(const WeightMatrix& weight, int64_t row_cols) {
  const bool is_fp8 = weight.format == WeightFormat::kFp8Block;
  return {.payload = static_cast<const std::byte*>(weight.payload),
          .scales = weight.scales,
          .rows = weight.rows,
          .cols = weight.cols,
          .row_bytes = row_cols * (is_fp8 ? 1 : 2),
          .block_rows = is_fp8 ? weight.block_rows : 1,
          .scales_per_row = is_fp8 ? (row_cols + weight.block_cols - 1) / weight.block_cols : 0};
}

/// Calls launch(Weight(), std::integral_constant of an int) with the element type of `weight` and
/// TileTokens(num_rows, kMost).
template <int kMost, int kTokens = 8, typename Call>
void ForTileType(const WeightMatrix& weight, int64_t num_rows, Call launch) {
  if constexpr (kTokens < kMost) {
    if (TileTokens(num_rows, kMost) > kTokens) {
      return ForTileType<kMost, 2 * kTokens>(weight, num_rows, launch);
    }
  }
  if (weight.format == WeightFormat::kBf16) {
    launch(bf16{}, std::integral_constant<int, kTokens>());
  } else {
    launch(fp8_e4m3{}, std::integral_constant<int, kTokens>());
  }
}

}  // namespace hadal::cuda
