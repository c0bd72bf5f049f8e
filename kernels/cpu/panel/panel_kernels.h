#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/quantization/int8_row.h"
#include "kernels/quantization/panels.h"

namespace hadal::cpu {

/// Panels that one call takes side by side: as many streams from memory keep a core's read
/// bandwidth busy, and an input value is loaded once for all of them.
inline constexpr int64_t kTilePanels = 4;
inline constexpr int64_t kTileRows = kTilePanels * kPanelRows;  // of weights

/// Input rows at equal distances, rounded to int8 (kernels/quantization/int8_row.h).
struct Int8Rows {
  const int8_t* values = nullptr;
  const float* scales = nullptr;
  const int32_t* sums = nullptr;
  int64_t values_stride = 0;
  int64_t scales_stride = 0;
  int64_t sums_stride = 0;
  int64_t count = 0;

  /// Rows [begin, begin + num_rows) from group `group` on.
  [[nodiscard]] Int8Rows Part(int64_t begin, int64_t num_rows, int64_t group) const {
    Int8Rows part = *this;
    part.values += begin * values_stride + group * kGroupCols;
    part.scales += begin * scales_stride + group;
    part.sums += begin * sums_stride + group * (kGroupCols / kSubgroupCols);
    part.count = num_rows;
    return part;
  }

  /// Rows first, first + step, …: `num_rows` of them.
  [[nodiscard]] Int8Rows Every(int64_t step, int64_t first, int64_t num_rows) const {
    Int8Rows part = Part(first, num_rows, 0);
    part.values_stride *= step;
    part.scales_stride *= step;
    part.sums_stride *= step;
    return part;
  }
};

/// Input rows times some panels, over whole groups of columns from a group's first on.
struct PanelTile {
  Int8Rows x;
  const std::byte* panels;  // the first panel's first group
  int64_t panel_stride;     // bytes from a panel to the next
  int64_t num_panels;       // 1..kTilePanels
  int64_t num_chunks;       // of kChunkCols columns
  float* y;                 // [x.count, kTileRows], added to
};

/// The inner loops of products with quantised weights for one instruction set. For input row t and
/// weight row r, with the exact sum `isum` of integer products over a group,
///   y[t, r] += float(isum) * (weight scale * input scale)
/// for one group after the other, each operation rounded once (the last two fused where the
/// instruction set fuses). So a result depends on its two rows alone, not on those beside them.
struct PanelKernels {
  const char* name;

  /// RoundToInt8.
  void (*round_row)(std::span<const float> x, int8_t* values, float* scales, int32_t* sums);

  /// `tile` with kInt8 panels.
  void (*int8_tile)(const PanelTile& tile);

  /// `tile` with kInt4 panels, as they are. Null where most_int4_rows is 0.
  void (*int4_tile)(const PanelTile& tile);

  /// With more input rows than these, widen_int4 and then int8_tile are faster than int4_tile.
  int64_t most_int4_rows;

  /// Rewrites the first `num_chunks` chunks of one kInt4 panel as kInt8. Null where most_int4_rows
  /// is as large as it can be.
  void (*widen_int4)(const std::byte* panel, int64_t num_chunks, std::byte* int8_panel);
};

const PanelKernels& PortablePanels();
const PanelKernels& Avx2Panels();
const PanelKernels& Avx512Panels();
const PanelKernels& AmxPanels();

}  // namespace hadal::cpu
