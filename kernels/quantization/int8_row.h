#pragma once

#include <cstdint>
#include <span>

#include "kernels/quantization/panels.h"

namespace hadal {

/// One input row of a product with quantised weights: value * scale of its group. Borrowed.
struct Int8Row {
  const int8_t* values;  // [PaddedCols(cols)], zero behind cols
  const float* scales;   // [NumGroups(cols)]
  const int32_t* sums;   // [PaddedCols(cols) / kSubgroupCols] sums of the values of a subgroup
};

/// Rounds x to 127ths of the largest magnitude of each group of kGroupCols: value = nearest(x *
/// (127 / magnitude)), ties to even, scale = magnitude / 127. What products with quantised weights
/// multiply instead of x, on every back end. A group with a NaN or an infinity gets a scale that
/// makes each product with it NaN. Writes what Int8Row holds.
void RoundToInt8(std::span<const float> x, int8_t* values, float* scales, int32_t* sums);

/// The values of x after that rounding: REQUIRES y to be as long as x; they may be the same.
void RoundThroughInt8(std::span<const float> x, std::span<float> y);

}  // namespace hadal
