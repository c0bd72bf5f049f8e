#pragma once

#include "base/tensor_view.h"
#include "kernels/cuda/product/split_rows.h"
#include "kernels/kernel.h"
#include "kernels/weight_matrix.h"

namespace hadal::cuda {

/// y (+)= x · Wᵀ by matrix instructions, x being [y.extent(0), weight.cols].
/// REQUIRES: TakesTensorCores(weight) of product/plan.h.
void Multiply(const SplitRows& x,
              const WeightMatrix& weight,
              Output output,
              const TensorView<float, 2>& y,
              Scratch& scratch);

}  // namespace hadal::cuda
