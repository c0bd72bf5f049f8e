#pragma once

// Four numbers computed at a time, in the vectors that every processor of an architecture has.

#include <cstdint>
#include <cstring>

namespace hadal::lanes {

inline constexpr int64_t kNumLanes = 4;

using Floats [[gnu::vector_size(16)]] = float;
using Ints [[gnu::vector_size(16)]] = int32_t;

inline Floats Broadcast(float x) {
  return Floats{x, x, x, x};
}

/// x[0], …, x[3].
inline Floats Load(const float* x) {
  Floats result;
  std::memcpy(&result, x, sizeof(result));
  return result;
}

inline Floats Max(Floats a, Floats b) {
  return a > b ? a : b;
}
inline Floats Min(Floats a, Floats b) {
  return a < b ? a : b;
}

inline float Sum(Floats x) {
  return (x[0] + x[2]) + (x[1] + x[3]);
}

/// The nearest integers, ties to even, of numbers below 2^22: adding this much leaves no bits for a
/// fraction.
inline Floats Nearest(Floats x) {
  const Floats shift = Broadcast(12582912);  // 1.5 * 2^23
  return (x + shift) - shift;
}

}  // namespace hadal::lanes
