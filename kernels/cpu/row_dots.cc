#include "kernels/cpu/row_dots.h"

#include <cstring>

#include "kernels/quantization/panels.h"

namespace hadal::cpu {

void WidenWeights(const VectorKernels& vector,
                  const WeightMatrix& weight,
                  int64_t row,
                  int64_t begin,
                  int64_t n,
                  float* y) {
  const int64_t index = row * weight.cols + begin;
  switch (weight.format) {
    case WeightFormat::kF32:
      std::memcpy(y,
                  static_cast<const float*>(weight.payload) + index,
                  static_cast<size_t>(n) * sizeof(float));
      return;
    case WeightFormat::kBf16:
      vector.widen_bf16(static_cast<const bf16*>(weight.payload) + index, n, y);
      return;
    case WeightFormat::kF16:
      vector.widen_f16(static_cast<const f16*>(weight.payload) + index, n, y);
      return;
    case WeightFormat::kFp8Block: {
      const auto* payload = static_cast<const fp8_e4m3*>(weight.payload) + index;
      const int64_t scales_per_row = (weight.cols + weight.block_cols - 1) / weight.block_cols;
      const float* scales = weight.scales + row / weight.block_rows * scales_per_row;
      for (int64_t done = 0; done < n;) {
        const int64_t col = begin + done;
        const int64_t part = std::min(n - done, weight.block_cols - col % weight.block_cols);
        vector.widen_fp8(payload + done, scales[col / weight.block_cols], part, y + done);
        done += part;
      }
      return;
    }
    case WeightFormat::kInt8:
    case WeightFormat::kInt4:
      for (int64_t i = 0; i < n; ++i) {
        y[i] = PanelAt(weight, row, begin + i);
      }
      return;
  }
}

}  // namespace hadal::cpu
