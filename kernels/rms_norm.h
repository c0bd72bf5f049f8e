#pragma once

#include "base/tensor_view.h"
#include "kernels/kernel.h"

namespace hadal {

/// y[t, :] = x[t, :] * weight / sqrt(mean(x[t, :]^2) + epsilon), for each token t.
/// Sums accumulate in float32 or wider.
/// Source: Zhang & Sennrich 2019 (arXiv:1910.07467); config.json `rms_norm_eps`.
/// REQUIRES: x and y have equal shapes. They may be the same buffer, not overlap otherwise.
/// Deterministic: equal rows give equal bits on one back end, whatever num_tokens is.
struct RmsNormArgs {
  TensorView<const float, 2> x;       // [num_tokens, hidden_size]
  TensorView<const float, 1> weight;  // [hidden_size]
  float epsilon;                      // > 0
  TensorView<float, 2> y;             // [num_tokens, hidden_size]
};

void Validate(const RmsNormArgs& args);

}  // namespace hadal
