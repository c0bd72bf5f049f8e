#pragma once

#include "base/tensor_view.h"

namespace hadal::cuda {

/// RoundThroughInt8 of kernels/quantization/int8_row.h for each row: what products with quantised
/// weights take for x.
void RoundThroughInt8(const TensorView<const float, 2>& x, const TensorView<float, 2>& rounded);

}  // namespace hadal::cuda
