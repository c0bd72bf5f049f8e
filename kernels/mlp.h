#pragma once

#include "base/tensor_view.h"
#include "kernels/kernel.h"
#include "kernels/weight_matrix.h"

namespace hadal {

/// The three matrices of one SwiGLU network.
struct MlpWeights {
  WeightMatrix gate_proj;  // [intermediate_size, hidden_size]
  WeightMatrix up_proj;    // [intermediate_size, hidden_size]
  WeightMatrix down_proj;  // [hidden_size, intermediate_size]
};

/// CHECKs the shapes above.
void ValidateMlp(const MlpWeights& weights, int64_t hidden_size);

/// y += down(silu(gate(x)) * up(x)), silu(a) = a / (1 + exp(-a)): a dense layer, added to the
/// residual stream.
/// Source: Shazeer 2020 (arXiv:2002.05202); model-card name SwiGLU, config.json `hidden_act: silu`.
/// REQUIRES: x and y do not overlap.
/// Deterministic: equal rows give equal bits on one back end, whatever num_tokens is.
struct MlpArgs {
  TensorView<const float, 2> x;  // [num_tokens, hidden_size]
  MlpWeights weights;
  TensorView<float, 2> y;  // [num_tokens, hidden_size]
};

void Validate(const MlpArgs& args);

}  // namespace hadal
