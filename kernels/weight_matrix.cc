#include "kernels/weight_matrix.h"

#include <algorithm>
#include <cstddef>

#include "base/check.h"
#include "kernels/quantization/panels.h"

namespace hadal {
namespace {

int64_t CeilDiv(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

DType PayloadType(WeightFormat format) {
  switch (format) {
    case WeightFormat::kF32:
      return DType::kF32;
    case WeightFormat::kBf16:
      return DType::kBf16;
    case WeightFormat::kF16:
      return DType::kF16;
    case WeightFormat::kFp8Block:
      return DType::kFp8E4m3;
    case WeightFormat::kInt8:
    case WeightFormat::kInt4:
      break;
  }
  CHECK(false);
}

template <typename T>
void Widen(const void* payload, int64_t begin, int64_t count, float* out) {
  const T* values = static_cast<const T*>(payload) + begin;
  for (int64_t i = 0; i < count; ++i) {
    out[i] = ToFloat(values[i]);
  }
}

// Multiplies a widened fp8 row by the scales of its blocks.
void ScaleRow(const WeightMatrix& weight, int64_t row, float* out) {
  const float* scales =
      weight.scales + row / weight.block_rows * CeilDiv(weight.cols, weight.block_cols);
  for (int64_t begin = 0; begin < weight.cols; begin += weight.block_cols) {
    const int64_t end = std::min(begin + weight.block_cols, weight.cols);
    const float scale = *scales++;
    for (int64_t col = begin; col < end; ++col) {
      out[col] *= scale;
    }
  }
}

}  // namespace

WeightMatrix WeightMatrix::Rows(int64_t begin, int64_t count) const {
  CHECK(begin >= 0 && count >= 0 && begin + count <= rows);
  WeightMatrix part = *this;
  part.rows = count;
  if (IsQuantized(format)) {
    CHECK_EQ(begin % kPanelRows, 0);
    part.payload =
        static_cast<const std::byte*>(payload) + begin / kPanelRows * PanelBytes(format, cols);
    return part;
  }
  part.payload =
      static_cast<const std::byte*>(payload) + begin * cols * SizeOf(PayloadType(format));
  if (format == WeightFormat::kFp8Block) {
    CHECK_EQ(begin % block_rows, 0);
    part.scales = scales + begin / block_rows * CeilDiv(cols, block_cols);
  }
  return part;
}

float WeightAt(const WeightMatrix& weight, int64_t row, int64_t col) {
  const int64_t index = row * weight.cols + col;
  switch (weight.format) {
    case WeightFormat::kF32:
      return static_cast<const float*>(weight.payload)[index];
    case WeightFormat::kBf16:
      return ToFloat(static_cast<const bf16*>(weight.payload)[index]);
    case WeightFormat::kF16:
      return ToFloat(static_cast<const f16*>(weight.payload)[index]);
    case WeightFormat::kFp8Block: {
      const int64_t scales_per_row = CeilDiv(weight.cols, weight.block_cols);
      const float scale =
          weight.scales[row / weight.block_rows * scales_per_row + col / weight.block_cols];
      return ToFloat(static_cast<const fp8_e4m3*>(weight.payload)[index]) * scale;
    }
    case WeightFormat::kInt8:
    case WeightFormat::kInt4:
      return PanelAt(weight, row, col);
  }
  CHECK(false);
}

void WidenRow(const WeightMatrix& weight, int64_t row, float* out) {
  switch (weight.format) {
    case WeightFormat::kF32:
      return Widen<float>(weight.payload, row * weight.cols, weight.cols, out);
    case WeightFormat::kBf16:
      return Widen<bf16>(weight.payload, row * weight.cols, weight.cols, out);
    case WeightFormat::kF16:
      return Widen<f16>(weight.payload, row * weight.cols, weight.cols, out);
    case WeightFormat::kFp8Block:
      Widen<fp8_e4m3>(weight.payload, row * weight.cols, weight.cols, out);
      ScaleRow(weight, row, out);
      return;
    case WeightFormat::kInt8:
    case WeightFormat::kInt4:
      for (int64_t col = 0; col < weight.cols; ++col) {
        out[col] = WeightAt(weight, row, col);
      }
      return;
  }
}

int64_t SizeBytes(const WeightMatrix& weight) {
  if (IsQuantized(weight.format)) {
    return NumPanels(weight.rows) * PanelBytes(weight.format, weight.cols);
  }
  return weight.rows * weight.cols * SizeOf(PayloadType(weight.format)) + ScaleBytes(weight);
}

int64_t ScaleBytes(const WeightMatrix& weight) {
  if (weight.format != WeightFormat::kFp8Block) {
    return 0;
  }
  return CeilDiv(weight.rows, weight.block_rows) * CeilDiv(weight.cols, weight.block_cols) *
         SizeOf(DType::kF32);
}

void ValidateWeight(const WeightMatrix& weight, int64_t rows, int64_t cols) {
  CHECK_EQ(weight.rows, rows);
  CHECK_EQ(weight.cols, cols);
  CHECK(weight.payload != nullptr);
  if (weight.format == WeightFormat::kFp8Block) {
    CHECK(weight.scales != nullptr);
    CHECK_GT(weight.block_rows, 0);
    CHECK_GT(weight.block_cols, 0);
  }
}

}  // namespace hadal
