#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "kernels/quantization/panels.h"

namespace hadal {

inline constexpr int64_t kSubgroups = kGroupCols / kSubgroupCols;

/// One row's group of columns as kInt4 has it: W[i] is about scale * multipliers[i / kSubgroupCols]
/// * values[i].
struct Int4Group {
  float scale = 0;                                   // a bf16, perhaps negative; 0: all values are
  std::array<int32_t, kSubgroups> multipliers = {};  // [1, 15], or 0 with a scale of 0
  std::array<int8_t, kGroupCols> values = {};        // [-8, 7]
};

/// Rounds finite `x`, of at most kGroupCols elements, so that the sum of the squared errors is
/// small: a search of steps for each subgroup, then of a scale of which multiples come near those
/// steps, then the best scale for the integers that were found (least squares). A negative scale
/// turns the range from -8 to 7 around, for groups whose largest values are positive.
Int4Group RoundToInt4(std::span<const float> x);

}  // namespace hadal
