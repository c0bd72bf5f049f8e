#pragma once

#include <algorithm>
#include <limits>
#include <span>

namespace hadal {

/// Functions that give the same bits on every CPU, as the C library's do not: nothing but single
/// additions, multiplications and divisions in a fixed order, none of them fused. Their twins for
/// GPUs are in kernels/cuda/sample/exact_math.h.

/// What logits are multiplied with. REQUIRES: temperature > 0.
constexpr float ScaleOf(float temperature) {
  return std::min(1 / temperature, std::numeric_limits<float>::max());
}

/// y[i] = exp((x[i] - highest) * scale), with a relative error of at most 1e-7 for the float that
/// (x[i] - highest) * scale is; exactly 1 where x[i] is `highest`, and never falling where x rises.
/// 0 where the float is below -87, and where x[i] is NaN or -inf. y may be x.
/// REQUIRES: as many y as x; none of x is above `highest`; highest and scale are finite, scale > 0.
void ExpBelow(std::span<const float> x, float highest, float scale, std::span<float> y);

/// log(x), with a relative error of at most 1e-15. REQUIRES: x is positive, finite and not
/// subnormal.
double LogOf(double x);

}  // namespace hadal
