#pragma once

#include <cstdint>

#include "base/tensor_view.h"
#include "kernels/kernel.h"

namespace hadal {

/// y[i, :] = x[rows[i], :], to the bit.
/// REQUIRES: 0 <= rows[i] < num_rows; x and y share no memory, since rows are copied in any order.
struct GatherRowsArgs {
  TensorView<const float, 2> x;       // [num_rows, width]
  TensorView<const int32_t, 1> rows;  // [num_gathered]
  TensorView<float, 2> y;             // [num_gathered, width]
};

void Validate(const GatherRowsArgs& args);

}  // namespace hadal
