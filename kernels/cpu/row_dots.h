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

/// What NativeDots makes at most: sums of kNativeInputs input rows with kNativeRows weight rows, in
/// tiles [input row / kTile][weight row / kTile].
inline constexpr int64_t kNativeInputs = 64;
inline constexpr int64_t kNativeRows = 2 * kTile;
using NativeSums = std::array<std::array<TileSums, kNativeRows / kTile>, kNativeInputs / kTile>;

/// Dot products of all input rows with rows [row, row + num_rows) of a weight that is not
/// quantised. The weights are widened once for all inputs, in pieces that stay in the L1 cache, but
/// on the way to registers where the inputs are few. REQUIRES: at most kNativeInputs and
/// kNativeRows.
void NativeDots(const VectorKernels& vector,
                const InputRows& input,
                const WeightMatrix& weight,
                int64_t row,
                int64_t num_rows,
                NativeSums& sums);

/// Calls emit(i, r, sums) for all input rows i and weight rows r in [begin, end), some of them at a
/// time: sums[j] = dot(input row i, W[r + j]).
/// REQUIRES: `begin` is a multiple of kPanelRows with quantised weights and with inputs made for
/// tiles. Inputs not made for them meet native weights in vectors. A dot product's order of
/// additions depends on the length alone.
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
  NativeSums sums;
  for (int64_t row = begin; row < end; row += kNativeRows) {
    const int64_t num_rows = std::min(kNativeRows, end - row);
    for (int64_t first = 0; first < input.count(); first += kNativeInputs) {
      const int64_t num_inputs = std::min(kNativeInputs, input.count() - first);
      NativeDots(vector, Part(input, first, num_inputs), weight, row, num_rows, sums);
      for (int64_t i = 0; i < num_inputs; ++i) {
        for (int64_t r = 0; r < num_rows; r += kTile) {
          const TileSums& tile =
              sums[static_cast<size_t>(i / kTile)][static_cast<size_t>(r / kTile)];
          const auto count = static_cast<size_t>(std::min(kTile, num_rows - r));
          emit(first + i, row + r, std::span(tile[static_cast<size_t>(i % kTile)]).first(count));
        }
      }
    }
  }
}

}  // namespace hadal::cpu
