#pragma once

#include <cstdint>

#include "base/tensor_view.h"
#include "kernels/kernel.h"

namespace hadal {

/// is_finite[i] = 1 where no element of x[i, :] is NaN or infinite, 0 elsewhere: a word for each
/// row, so that rows need not leave the memory that they lie in.
struct CheckFiniteArgs {
  TensorView<const float, 2> x;      // [num_rows, width]
  TensorView<int32_t, 1> is_finite;  // [num_rows]
};

void Validate(const CheckFiniteArgs& args);

}  // namespace hadal
