#include "kernels/cpu/gated_rows.h"

#include <cmath>

namespace hadal::cpu {
namespace {

float Silu(float x) {
  return x / (1.0F + std::exp(-x));
}

}  // namespace

void GatedRows(const VectorKernels& vector,
               const InputRows& input,
               const MlpWeights& weights,
               int64_t begin,
               int64_t end,
               const TensorView<float, 2>& activations) {
  RowDots(vector, input, weights.gate_proj, begin, end, [&](int64_t i, int64_t row, float sum) {
    activations(i, row) = Silu(sum);
  });
  RowDots(vector, input, weights.up_proj, begin, end, [&](int64_t i, int64_t row, float sum) {
    activations(i, row) *= sum;
  });
}

}  // namespace hadal::cpu
