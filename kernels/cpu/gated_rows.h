#pragma once

#include "kernels/cpu/row_dots.h"
#include "kernels/mlp.h"

namespace hadal::cpu {

/// activations[i, r] = silu(gate row r · input row i) * (up row r · input row i), for r in [begin,
/// end).
void GatedRows(const VectorKernels& vector,
               const InputRows& input,
               const MlpWeights& weights,
               int64_t begin,
               int64_t end,
               const TensorView<float, 2>& activations);

}  // namespace hadal::cpu
