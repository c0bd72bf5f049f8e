#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/dtype.h"
#include "kernels/cpu/portable_simd.h"

namespace hadal::cpu {

// Vectors of as many lanes as tiles have rows, with what amx_lanes.h needs besides.
struct EmulatedSimd : PortableSimd<kMaxLanes, 16> {
  static Vec LoadBytes(const std::byte* x) {
    Vec v;
    std::memcpy(v.data(), x, sizeof(v));
    return v;
  }
  static void StoreBytes(std::byte* y, const Vec& v) { std::memcpy(y, v.data(), sizeof(v)); }
  static Vec RoundToBf16(const Vec& v) {
    Vec rounded;
    for (size_t i = 0; i < v.size(); ++i) {
      rounded[i] = ToFloat(ToBf16(v[i]));
    }
    return rounded;
  }
  static Vec PairLower(const Vec& a, const Vec& b) {
    return OfHalves(a, b, [](uint32_t bits) { return bits & 0xFFFFU; });
  }
  static Vec PairUpper(const Vec& a, const Vec& b) {
    return OfHalves(a, b, [](uint32_t bits) { return bits >> 16U; });
  }

 private:
  template <typename Half>
  static Vec OfHalves(const Vec& a, const Vec& b, Half half) {
    Vec v;
    for (size_t i = 0; i < v.size(); ++i) {
      v[i] = std::bit_cast<float>(half(std::bit_cast<uint32_t>(a[i])) |
                                  half(std::bit_cast<uint32_t>(b[i])) << 16U);
    }
    return v;
  }
};

}  // namespace hadal::cpu
