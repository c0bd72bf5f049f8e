#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "base/tensor_view.h"
#include "kernels/cpu/panel/panel_product.h"
#include "kernels/cpu/tiles/tile_product.h"
#include "kernels/cpu/vector_kernels.h"
#include "kernels/execution_context.h"
#include "kernels/weight_matrix.h"

namespace hadal::cpu {

/// Weight rows that one work item of a product with `num_rows` of them takes: kTileRows where
/// panels or tiles take as many at a time and there are enough for all threads.
int64_t RowsPerItem(const VectorKernels& vector,
                    const WeightMatrix& weight,
                    int64_t num_rows,
                    int32_t num_threads);

/// y[0..n) = W[row, begin..begin + n) as float.
void WidenWeights(const VectorKernels& vector,
                  const WeightMatrix& weight,
                  int64_t row,
                  int64_t begin,
                  int64_t n,
                  float* y);

/// Input rows of a product: all rows of a matrix, or those that `indices` names.
struct InputRows {
  TensorView<const float, 2> x;           // [*, in]
  std::span<const int32_t> indices = {};  // rows of x to take; used when `gathered`
  bool gathered = false;
  Int8Rows rounded = {};  // the input rows for quantised weights, already gathered
  SplitRows split = {};   // the same for weights that take tiles

  [[nodiscard]] int64_t count() const { return gathered ? std::ssize(indices) : x.extent(0); }
  [[nodiscard]] const float* row(int64_t i) const {
    return x.Row(gathered ? indices[static_cast<size_t>(i)] : i).data();
  }
};

/// All rows of x, as products with `weight` take them.
InputRows MakeInput(const VectorKernels& vector,
                    const TensorView<const float, 2>& x,
                    const WeightMatrix& weight,
                    ExecutionContext& context);

/// Rows `indices` of x, the same way. `indices` outlives the result.
InputRows GatherInput(const VectorKernels& vector,
                      const TensorView<const float, 2>& x,
                      std::span<const int32_t> indices,
                      const WeightMatrix& weight,
                      ExecutionContext& context);

/// Rows [begin, begin + count) of `input`.
InputRows Part(const InputRows& input, int64_t begin, int64_t count);

/// Calls emit(i, r, sums) for all input rows i and weight rows r in [begin, end), some of them at a
/// time: sums[j] = dot(input row i, W[r + j]).
/// REQUIRES: `begin` is a multiple of kPanelRows with quantised weights and with inputs made for
/// tiles. Inputs not made for them meet native weights in vectors: these are widened once for each
/// kInputBlock input rows, in pieces that stay in the L1 cache. A dot product's order of additions
/// depends on the length alone.
template <typename Emit>
void RowDots(const VectorKernels& vector,
             const InputRows& input,
             const WeightMatrix& weight,
             int64_t begin,
             int64_t end,
             Emit emit) {
  if (IsQuantized(weight.format)) {
    return PanelDots(vector.panels(), input.rounded, weight, begin, end, emit);
  }
  if (input.split.groups != nullptr && TakesTiles(weight)) {
    return TileDots(vector.tiles(), input.split, weight, begin, end, emit);
  }
  constexpr int64_t kInputBlock = 64;
  constexpr int64_t kPiece = 512;
  alignas(64) std::array<float, kTile * kPiece> widened;
  std::array<TileSums, kInputBlock / kTile> sums;
  const int64_t num_rows = input.count();
  for (int64_t row = begin; row < end; row += kTile) {
    const int64_t num_w = std::min(kTile, end - row);
    for (int64_t first = 0; first < num_rows; first += kInputBlock) {
      const int64_t block = std::min(kInputBlock, num_rows - first);
      sums.fill({});
      for (int64_t k = 0; k < weight.cols; k += kPiece) {
        const int64_t piece = std::min(kPiece, weight.cols - k);
        for (int64_t j = 0; j < num_w; ++j) {
          WidenWeights(vector, weight, row + j, k, piece, widened.data() + j * kPiece);
        }
        for (int64_t i = 0; i < block; i += kTile) {
          const int64_t num_x = std::min(kTile, block - i);
          std::array<const float*, kTile> x = {};
          for (int64_t r = 0; r < num_x; ++r) {
            x[static_cast<size_t>(r)] = input.row(first + i + r) + k;
          }
          vector.dot_tile(
              x, num_x, widened.data(), kPiece, num_w, piece, sums[static_cast<size_t>(i / kTile)]);
        }
      }
      for (int64_t i = 0; i < block; ++i) {
        const auto& row_sums = sums[static_cast<size_t>(i / kTile)][static_cast<size_t>(i % kTile)];
        emit(first + i, row, std::span(row_sums).first(static_cast<size_t>(num_w)));
      }
    }
  }
}

}  // namespace hadal::cpu
