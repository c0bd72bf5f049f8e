#pragma once

// Twins of kernels/sample/portable_math.h, bit for bit: single operations in the same order, by the
// names that the compiler does not fuse.

#include <cstddef>
#include <cstdint>
#include <cuda_runtime.h>

#include "kernels/sample/noise.h"

namespace hadal::cuda {

/// ExpBelow of one number: portable_math.cc explains the steps.
__device__ __forceinline__ float ExactExp(float x, float highest, float scale) {
  x = __fmul_rn(__fadd_rn(x, -highest), scale);
  const float bounded = x > -87.0F ? x : -87.0F;
  const float shifted = __fadd_rn(__fmul_rn(bounded, 0x1.715476p+0F), 0x1.8p23F);
  const float n = __fadd_rn(shifted, -0x1.8p23F);
  const float r =
      __fadd_rn(__fadd_rn(bounded, -__fmul_rn(n, 0x1.62e4p-1F)), -__fmul_rn(n, 0x1.7f7d1cp-20F));
  float series = 0x1.6a241ap-10F;
  series = __fadd_rn(__fmul_rn(series, r), 0x1.1239f2p-7F);
  series = __fadd_rn(__fmul_rn(series, r), 0x1.5558f2p-5F);
  series = __fadd_rn(__fmul_rn(series, r), 0x1.555492p-3F);
  series = __fadd_rn(__fmul_rn(series, r), 0x1.fffffcp-2F);
  const float power = __fadd_rn(1, __fadd_rn(r, __fmul_rn(__fmul_rn(r, r), series)));
  const uint32_t exponent = __float_as_uint(shifted) << 23U;
  return x >= -87.0F ? __uint_as_float(__float_as_uint(power) + exponent) : 0.0F;
}

/// LogOf.
__device__ __forceinline__ double ExactLog(double x) {
  constexpr uint64_t kSqrtHalf = 0x3FE6A09E667F3BCD;
  constexpr int kMantissaBits = 52;
  const uint64_t above = static_cast<uint64_t>(__double_as_longlong(x)) - kSqrtHalf;
  const int64_t n = static_cast<int64_t>(above) >> kMantissaBits;
  const double m = __longlong_as_double(
      static_cast<int64_t>((above & ((1ULL << kMantissaBits) - 1)) + kSqrtHalf));
  const double s = __ddiv_rn(__dadd_rn(m, -1), __dadd_rn(m, 1));
  const double square = __dmul_rn(s, s);
  double series = 0;
#pragma unroll
  for (int i = 23; i >= 1; i -= 2) {
    series = __dadd_rn(__dmul_rn(series, square), 1.0 / i);
  }
  return __dadd_rn(__dmul_rn(static_cast<double>(n), 0x1.62e42fefa39efp-1),
                   __dmul_rn(__dmul_rn(2, s), series));
}

/// An exponential variable of mean 1 from random bits.
__device__ __forceinline__ double ExponentialOf(uint64_t bits) {
  return -ExactLog(UniformOf(bits));
}

/// The least noise of a strip.
__device__ __forceinline__ double LeastNoise(uint64_t strip_bits) {
  return ExponentialOf(strip_bits) / static_cast<double>(kStripTokens);
}

}  // namespace hadal::cuda
