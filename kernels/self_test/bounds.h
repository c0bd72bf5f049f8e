#pragma once

// How far results of two implementations may be from each other.
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

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/weight_matrix.h"

namespace hadal::self_test {

inline constexpr double kUnit = 0x1p-24;

/// gamma(n) above: the smaller of both bounds.
double Gamma(int64_t n);

/// gamma for products with `weight`: its columns; where it is quantised the roundings of the two
/// scales of a product; and with kBf16 and kFp8Block 2^-17, what a number is off when it is taken
/// as the sum of two bf16 numbers, as tile registers want it (cpu/tiles/split_rows.h).
double Gamma(const WeightMatrix& weight);

/// Values with a bound on the error that a float computation of them may have.
struct Bounded {
  std::vector<double> values;
  std::vector<double> errors;
};

/// What products with weights of this format take for x: x, or rounded to int8 (int8_row.h). An
/// error carries over by way of the group's largest magnitude, which sets the step; where it
/// reaches a tie, the value may be one step off.
Bounded RoundedInput(WeightFormat format, const Bounded& x);
std::vector<float> RoundedInput(WeightFormat format, std::span<const float> x);

double Norm(std::span<const float> x);
double Norm(std::span<const double> x);

/// The norm of each row of `weight`.
std::vector<double> RowNorms(const WeightMatrix& weight);

/// The element whose error is the largest share of its tolerance. The share is 0 where both are
/// equal (as numbers, or both NaN), and infinite where one alone is NaN or infinite, or where they
/// differ and the tolerance is 0. REQUIRES: equal sizes.
struct WorstElement {
  size_t index = 0;
  double share = 0;  // at most 1: all are within their tolerances
};
WorstElement FindWorst(std::span<const float> actual,
                       std::span<const float> expected,
                       std::span<const double> tolerances);

}  // namespace hadal::self_test
