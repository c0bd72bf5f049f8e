#pragma once

// The layout of quantised weights (WeightFormat::kInt8 and kInt4): what one multiplication reads
// together lies together, for vector and matrix instructions alike.
//
// A matrix is cut into panels of 16 rows, one after the other; the last is filled up with zero
// rows. A panel is cut into groups of 128 columns, one after the other; the last is filled up with
// zero columns to a multiple of 64. A group is a header and its chunks of 64 columns:
//
//   header   16 x 4 bytes, one for each row
//     kInt8    float scale
//     kInt4    bf16 scale in the upper half; in the lower, four 4-bit multipliers, the first 32
//              columns' lowest
//   chunk    the 64 columns of 16 rows, where columns 4i..4i+3 of a row are neighbours
//     kInt8    16 x 64 bytes: byte [i][row][c] holds column 4i + c, as value + 128
//     kInt4     8 x 64 bytes: byte [i][row][c] holds column 4i + c in its lower and column
//              32 + 4i + c in its upper half, as value + 8
//
//   kInt8    W = scale * value,               -127 <= value <= 127
//   kInt4    W = scale * multiplier * value,  1 <= multiplier <= 15, -8 <= value <= 7
//
// So kInt4 is kInt8 whose values are products of two small integers: one exact conversion leads
// from one to the other, and products that add up integers agree bit for bit. Four rows of 16 bytes
// by 16 lanes are what VPDPBUSD takes; a chunk is one tile of AMX's TDPBSUD. Source of the two
// levels of scales: Lin et al. 2024 (QServe, arXiv:2405.04532), section 4.1.

#include <cstddef>
#include <cstdint>

#include "kernels/weight_matrix.h"

namespace hadal {

inline constexpr int64_t kPanelRows = 16;
inline constexpr int64_t kGroupCols = 128;
inline constexpr int64_t kChunkCols = 64;
inline constexpr int64_t kSubgroupCols = 32;  // columns that share a multiplier
inline constexpr int64_t kGroupHeaderBytes = kPanelRows * 4;
inline constexpr int32_t kInt8Offset = 128;
inline constexpr int32_t kInt4Offset = 8;

/// True for the formats that this file describes.
constexpr bool IsQuantized(WeightFormat format) {
  return format == WeightFormat::kInt8 || format == WeightFormat::kInt4;
}

/// `cols` filled up to whole chunks.
constexpr int64_t PaddedCols(int64_t cols) {
  return (cols + kChunkCols - 1) / kChunkCols * kChunkCols;
}

constexpr int64_t NumGroups(int64_t cols) {
  return (cols + kGroupCols - 1) / kGroupCols;
}

constexpr int64_t NumPanels(int64_t rows) {
  return (rows + kPanelRows - 1) / kPanelRows;
}

/// `rows` filled up to whole panels.
constexpr int64_t RoundUpToPanel(int64_t rows) {
  return NumPanels(rows) * kPanelRows;
}

/// Bytes of one chunk.
constexpr int64_t ChunkBytes(WeightFormat format) {
  return kPanelRows * kChunkCols / (format == WeightFormat::kInt4 ? 2 : 1);
}

/// Bytes of a whole group: how far groups of a panel lie apart.
constexpr int64_t GroupBytes(WeightFormat format) {
  return kGroupHeaderBytes + kGroupCols / kChunkCols * ChunkBytes(format);
}

/// How far panels lie apart. A multiple of 64, as everything here.
constexpr int64_t PanelBytes(WeightFormat format, int64_t cols) {
  return NumGroups(cols) * kGroupHeaderBytes + PaddedCols(cols) / kChunkCols * ChunkBytes(format);
}

/// The element at [row, col] of a quantised matrix.
float PanelAt(const WeightMatrix& weight, int64_t row, int64_t col);

/// Rounds panel `panel` of `source`, which is not quantised, to `format`; writes
/// PanelBytes(format, source.cols) bytes to `out`. kInt8 rounds a row's group to 127ths of its
/// largest magnitude, kInt4 as int4_group.h says. False, with `out` undefined, when a weight is not
/// finite. `row_buffer` is overwritten: room for source.cols floats.
bool QuantizePanel(const WeightMatrix& source,
                   int64_t panel,
                   WeightFormat format,
                   float* row_buffer,
                   std::byte* out);

}  // namespace hadal
