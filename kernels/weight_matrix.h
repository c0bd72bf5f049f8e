#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace hadal {

enum class WeightFormat : int8_t {
  kF32,
  kBf16,
  kF16,
  kFp8Block,  // fp8 e4m3 with one float scale for each block of block_rows x block_cols
  kInt8,      // these two in panels, with their scales: kernels/quantization/panels.h
  kInt4,
};

/// A borrowed weight matrix [rows, cols] = [out, in], used as y = x · Wᵀ: row-major, but for kInt8
/// and kInt4. Products with those two take x rounded to int8 (kernels/quantization/int8_row.h).
/// With kFp8Block, W[r, c] = payload[r, c] * scales[r / block_rows, c / block_cols], and scales is
/// [ceil(rows / block_rows), ceil(cols / block_cols)] (DeepSeek-V3 README_WEIGHTS.md).
struct WeightMatrix {
  WeightFormat format = WeightFormat::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  const void* payload = nullptr;  // aligned to its element; to 64 bytes when in panels
  const float* scales = nullptr;  // kFp8Block only
  int64_t block_rows = 0;         // kFp8Block only
  int64_t block_cols = 0;         // kFp8Block only

  /// Rows [begin, begin + count) as a matrix of their own.
  /// REQUIRES: `begin` is a multiple of block_rows with kFp8Block, of kPanelRows in panels.
  [[nodiscard]] WeightMatrix Rows(int64_t begin, int64_t count) const;
};

/// The element at [row, col]. Slow: for references and tests.
float WeightAt(const WeightMatrix& weight, int64_t row, int64_t col);

/// Row `row` as float, cols elements. Slow for quantised formats.
void WidenRow(const WeightMatrix& weight, int64_t row, float* out);

/// Bytes that reading the whole matrix once touches.
int64_t SizeBytes(const WeightMatrix& weight);

/// Of those, the bytes at `scales`.
int64_t ScaleBytes(const WeightMatrix& weight);

/// CHECKs that the fields agree with each other and with [rows, cols].
void ValidateWeight(const WeightMatrix& weight, int64_t rows, int64_t cols);

}  // namespace hadal
