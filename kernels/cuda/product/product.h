#pragma once

#include "base/tensor_view.h"
#include "kernels/cuda/product/input_rows.h"
#include "kernels/kernel.h"
#include "kernels/linear.h"
#include "kernels/weight_matrix.h"

namespace hadal::cuda {

/// y (+)= x · Wᵀ by matrix instructions, x being [y.extent(0), weight.cols].
/// REQUIRES: TakesTensorCores(weight) of product/plan.h.
void Multiply(const InputRows& x,
              const WeightMatrix& weight,
              Output output,
              const TensorView<float, 2>& y,
              Scratch& scratch);

/// The op linear for two weights with the same x: one launch, where both take matrix instructions
/// in one format.
void LinearPair(const LinearArgs& first, const LinearArgs& second, ExecutionContext& context);

}  // namespace hadal::cuda
