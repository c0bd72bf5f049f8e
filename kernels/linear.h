#pragma once

#include "base/tensor_view.h"
#include "kernels/kernel.h"
#include "kernels/weight_matrix.h"

namespace hadal {

/// y[t, :] (+)= x[t, :] · Wᵀ. Products and sums are float32 or wider;
/// with native weights, x may count as what is within 2^-17 of it (docs/adr/0024).
/// REQUIRES: x and y do not overlap.
/// Deterministic: equal rows give equal bits on one back end, whatever num_tokens is.
struct LinearArgs {
  TensorView<const float, 2> x;  // [num_tokens, in]
  WeightMatrix weight;           // [out, in]
  Output output;                 // store, or add to y
  TensorView<float, 2> y;        // [num_tokens, out]
};

void Validate(const LinearArgs& args);

}  // namespace hadal
