#pragma once

#include "kernels/cpu/row_dots.h"
#include "kernels/kernel.h"

namespace hadal::cpu {

/// y (+)= input · Wᵀ, spread over the pool: for ops that multiply one input by several matrices.
/// REQUIRES: input made for a weight of this format and block.
void Multiply(const VectorKernels& vector,
              const InputRows& input,
              const WeightMatrix& weight,
              Output output,
              const TensorView<float, 2>& y,
              ThreadPool& pool);

}  // namespace hadal::cpu
