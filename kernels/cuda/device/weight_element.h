#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/device/numeric.h"
#include "kernels/quantization/panels.h"
#include "kernels/weight_matrix.h"

namespace hadal::cuda {

/// WeightAt for device code: any format, one element at a time.
__device__ __forceinline__ float WeightElement(const WeightMatrix& weight,
                                               int64_t row,
                                               int64_t col) {
  const int64_t index = row * weight.cols + col;
  switch (weight.format) {
    case WeightFormat::kF32:
      return static_cast<const float*>(weight.payload)[index];
    case WeightFormat::kBf16:
      return Widen(static_cast<const bf16*>(weight.payload)[index]);
    case WeightFormat::kF16:
      return Widen(static_cast<const f16*>(weight.payload)[index]);
    case WeightFormat::kFp8Block: {
      const int64_t scales_per_row = (weight.cols + weight.block_cols - 1) / weight.block_cols;
      const float scale =
          weight.scales[row / weight.block_rows * scales_per_row + col / weight.block_cols];
      return Widen(static_cast<const fp8_e4m3*>(weight.payload)[index]) * scale;
    }
    case WeightFormat::kInt8:
    case WeightFormat::kInt4:
      break;
  }
  // Panels: kernels/quantization/panels.h has the layout.
  const bool is_int4 = weight.format == WeightFormat::kInt4;
  const auto* group = static_cast<const uint8_t*>(weight.payload) +
                      row / kPanelRows * PanelBytes(weight.format, weight.cols) +
                      col / kGroupCols * GroupBytes(weight.format);
  const int64_t panel_row = row % kPanelRows;
  const int64_t in_group = col % kGroupCols;
  const int64_t in_chunk = in_group % kChunkCols;
  const auto* chunk = group + kGroupHeaderBytes + in_group / kChunkCols * ChunkBytes(weight.format);
  const uint32_t header = reinterpret_cast<const uint32_t*>(group)[panel_row];
  if (!is_int4) {
    const int32_t byte = chunk[(in_chunk / 4 * kPanelRows + panel_row) * 4 + in_chunk % 4];
    return static_cast<float>(byte - kInt8Offset) * __uint_as_float(header);
  }
  const int64_t in_half = in_chunk % kSubgroupCols;
  const uint32_t byte = chunk[(in_half / 4 * kPanelRows + panel_row) * 4 + in_half % 4];
  const uint32_t nibble = in_chunk < kSubgroupCols ? byte & 0xFU : byte >> 4U;
  const auto subgroup = static_cast<uint32_t>(in_group / kSubgroupCols);
  const auto multiplier = static_cast<int32_t>(header >> (4 * subgroup) & 0xFU);
  return static_cast<float>((static_cast<int32_t>(nibble) - kInt4Offset) * multiplier) *
         __uint_as_float(header & 0xFFFF0000U);
}

}  // namespace hadal::cuda
