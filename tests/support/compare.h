#pragma once

// How results of two implementations are held against each other.
//
// Tolerances come from the numbers themselves. With u = 2^-24, the float32 rounding unit, a dot
// product of n terms summed in any order has an error below
//
//   gamma(n) * sum |x_i w_i|  <=  gamma(n) * |x| |w|
//
// by Cauchy and Schwarz, where gamma(n) = n u always, and 6 sqrt(n) u with a probability above
// 1 - 1e-7 for each element, because rounding errors have no common sign (Higham & Mary 2019,
// "A new approach to probabilistic rounding error analysis", theorem 2.4 with lambda = 6). Ops made
// of several steps pass each step's error on by its derivative.

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/weight_matrix.h"

namespace hadal::test {

inline constexpr double kUnit = 0x1p-24;

/// gamma(n) above: the smaller of both bounds.
double Gamma(int64_t n);

double Norm(std::span<const float> x);
double Norm(std::span<const double> x);

/// The norm of each row of `weight`.
std::vector<double> RowNorms(const WeightMatrix& weight);

/// NaN and infinities are at the same places, and elsewhere |actual - expected| <= tolerance.
/// Names the first misplaced element, or the worst one.
testing::AssertionResult IsClose(std::span<const float> actual,
                                 std::span<const float> expected,
                                 std::span<const double> tolerances);

/// The elements have the same bits.
template <typename T>
testing::AssertionResult HasSameBits(std::span<const T> actual, std::span<const T> expected) {
  if (actual.size() != expected.size()) {
    return testing::AssertionFailure() << actual.size() << " elements, not " << expected.size();
  }
  for (size_t i = 0; i < actual.size(); ++i) {
    if (std::memcmp(&actual[i], &expected[i], sizeof(T)) != 0) {
      return testing::AssertionFailure()
             << "element " << i << ": " << actual[i] << " has not the bits of " << expected[i];
    }
  }
  return testing::AssertionSuccess();
}
template <typename T>
testing::AssertionResult HasSameBits(const std::vector<T>& actual, const std::vector<T>& expected) {
  return HasSameBits(std::span<const T>(actual), std::span<const T>(expected));
}

}  // namespace hadal::test
