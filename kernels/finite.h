#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>

#include "base/dtype.h"

namespace hadal {

/// True when no value is NaN or infinite. A maximum of bits, so that the loop has no branch.
inline bool AllFinite(std::span<const float> values) {
  constexpr uint32_t kMagnitude = 0x7FFFFFFF;
  constexpr uint32_t kInfinity = 0x7F800000;
  uint32_t highest = 0;
  for (const float value : values) {
    highest = std::max(highest, std::bit_cast<uint32_t>(value) & kMagnitude);
  }
  return highest < kInfinity;
}

inline bool AllFinite(std::span<const bf16> values) {
  constexpr uint16_t kMagnitude = 0x7FFF;
  constexpr uint16_t kInfinity = 0x7F80;
  uint16_t highest = 0;
  for (const bf16 value : values) {
    highest = std::max<uint16_t>(highest, value.bits & kMagnitude);
  }
  return highest < kInfinity;
}

}  // namespace hadal
