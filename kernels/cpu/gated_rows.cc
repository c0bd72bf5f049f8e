#include "kernels/cpu/gated_rows.h"

#include <algorithm>

namespace hadal::cpu {

void GatedRows(const VectorKernels& vector,
               const InputRows& input,
               const MlpWeights& weights,
               int64_t begin,
               int64_t end,
               const TensorView<float, 2>& activations) {
  const auto store = [&](int64_t i, int64_t row, std::span<const float> sums) {
    std::copy(sums.begin(), sums.end(), activations.Row(i).data() + row);
  };
  const auto gate = [&](int64_t i, int64_t row, std::span<const float> sums) {
    float* out = activations.Row(i).data() + row;
    vector.silu_multiply(out, sums.data(), std::ssize(sums), out);
  };
  RowDots(vector, input, weights.gate_proj, begin, end, store);
  RowDots(vector, input, weights.up_proj, begin, end, gate);
}

}  // namespace hadal::cpu
