#pragma once

#include <bit>
#include <cstdint>

namespace hadal {

// What top_p counts, in functions that a GPU's compiler takes too: whole numbers, so that sums do
// not depend on their order.

inline constexpr double kMassUnit = 0x1p-35;  // of a weight

/// The mass of a token of this weight, in units of kMassUnit: rounded to nearest, ties to even, by
/// the addition of a number whose last bit is worth one. REQUIRES: 0 <= weight <= 1.
constexpr int64_t MassOf(float weight) {
  constexpr double kUnitIsLastBit = 0x1.8p17;
  return std::bit_cast<int64_t>(double{weight} + kUnitIsLastBit) -
         std::bit_cast<int64_t>(kUnitIsLastBit);
}

/// The mass that tokens must hold: at least `top_p` of all. REQUIRES: 0 < top_p < 1, mass > 0.
constexpr int64_t MassToHold(float top_p, int64_t mass) {
  const double share = double{top_p} * static_cast<double>(mass);
  const auto whole = static_cast<int64_t>(share);
  return whole + (static_cast<double>(whole) < share ? 1 : 0);
}

}  // namespace hadal
