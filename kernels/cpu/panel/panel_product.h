#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "base/tensor_view.h"
#include "kernels/cpu/panel/panel_kernels.h"
#include "kernels/execution_context.h"
#include "kernels/weight_matrix.h"

namespace hadal::cpu {

/// The rows of x, rounded, in memory of the arena. Threads share the work where there is much.
Int8Rows RoundRows(const PanelKernels& panels,
                   const TensorView<const float, 2>& x,
                   ExecutionContext& context);

/// The first `cols` elements of the rows of x: row (i, j) is row i * x.extent(1) + j of the result.
Int8Rows RoundRows(const PanelKernels& panels,
                   const TensorView<const float, 3>& x,
                   int64_t cols,
                   ExecutionContext& context);

/// Rows `indices` of `rows`, copied side by side in memory of the arena.
Int8Rows GatherRows(const Int8Rows& rows,
                    std::span<const int32_t> indices,
                    int64_t cols,
                    ExecutionContext& context);

/// sums[t][r] = input row t · weight row (first_panel * kPanelRows + r), for all t < x.count, which
/// is at most kMostTileInputs, and r < num_panels * kPanelRows.
inline constexpr int64_t kMostTileInputs = 48;
using PanelSums = std::array<std::array<float, kTileRows>, kMostTileInputs>;
void MultiplyPanels(const PanelKernels& panels,
                    const Int8Rows& x,
                    const WeightMatrix& weight,
                    int64_t first_panel,
                    int64_t num_panels,
                    PanelSums& sums);

/// Calls emit(i, r, sums) for all input rows i and weight rows r in [begin, end), some of them at a
/// time, `sums` being the span of those from r on. REQUIRES: begin is a multiple of kPanelRows.
template <typename Emit>
void PanelDots(const PanelKernels& panels,
               const Int8Rows& x,
               const WeightMatrix& weight,
               int64_t begin,
               int64_t end,
               Emit emit) {
  alignas(64) PanelSums sums;
  for (int64_t row = begin; row < end; row += kTileRows) {
    const int64_t num_rows = std::min(kTileRows, end - row);
    for (int64_t first = 0; first < x.count; first += kMostTileInputs) {
      const int64_t count = std::min(kMostTileInputs, x.count - first);
      MultiplyPanels(
          panels, x.Part(first, count, 0), weight, row / kPanelRows, NumPanels(num_rows), sums);
      for (int64_t i = 0; i < count; ++i) {
        emit(first + i,
             row,
             std::span<const float>(sums[static_cast<size_t>(i)])
                 .first(static_cast<size_t>(num_rows)));
      }
    }
  }
}

}  // namespace hadal::cpu
