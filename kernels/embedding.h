#pragma once

#include <cstdint>

#include "base/tensor_view.h"
#include "kernels/kernel.h"
#include "kernels/weight_matrix.h"

namespace hadal {

/// y[t, :] = table[token_ids[t], :].
/// REQUIRES: 0 <= token_ids[t] < vocab_size.
struct EmbeddingArgs {
  TensorView<const int32_t, 1> token_ids;  // [num_tokens]
  WeightMatrix table;                      // [vocab_size, hidden_size]
  TensorView<float, 2> y;                  // [num_tokens, hidden_size]
};

void Validate(const EmbeddingArgs& args);

}  // namespace hadal
