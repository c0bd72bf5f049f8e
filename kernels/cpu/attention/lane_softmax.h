#pragma once

// The softmax of absorbed attention over a vector type, whose needs lane_loops.h names.

#include <array>
#include <limits>

namespace hadal::cpu {

template <typename Simd>
struct LaneSoftmax {
  using Vec = typename Simd::Vec;

  // Added to a float below 2^22, it leaves the nearest whole number in the last bits.
  static constexpr float kRounder = 0x1.8p23F;

  // exp(x) for x <= 0, within 2 units in the last place; 0 below -80, where it is nothing beside
  // the highest score's 1; exp(0) = 1; NaN stays. With n the whole number nearest to x / ln 2 and
  // r = x - n ln 2, exp(x) = 2^n exp(r) and |r| <= ln 2 / 2: the terms of the Taylor series from
  // r^8 on are below 6e-9 of it. ln 2 is taken in two parts, the first of 16 bits, so that n times
  // it is exact.
  static Vec Exp(Vec x) {
    constexpr float kLog2E = 0x1.715476p0F;
    constexpr float kLn2High = 0x1.62e4p-1F;
    constexpr float kLn2Low = 0x1.7f7d1cp-20F;
    constexpr float kSmallest = -80;
    constexpr std::array<float, 7> kFactors = {
        1.0F / 720, 1.0F / 120, 1.0F / 24, 1.0F / 6, 1.0F / 2, 1.0F, 1.0F};
    const Vec rounded = Simd::MulAdd(x, Simd::Set1(kLog2E), Simd::Set1(kRounder));
    const Vec n = Simd::Sub(rounded, Simd::Set1(kRounder));
    const Vec high = Simd::MulAdd(n, Simd::Set1(-kLn2High), x);
    const Vec r = Simd::MulAdd(n, Simd::Set1(-kLn2Low), high);
    Vec sum = Simd::Set1(1.0F / 5040);
    for (const float factor : kFactors) {
      sum = Simd::MulAdd(sum, r, Simd::Set1(factor));
    }
    const Vec value = Simd::Mul(sum, Simd::PowerOfTwo(rounded));
    return Simd::Select(Simd::Less(x, Simd::Set1(kSmallest)), Simd::Zero(), value);
  }

  // What scores are taken relative to: the highest, or 0 while all are -infinity, so that their
  // weights are 0.
  static Vec Shift(Vec highest) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    const auto is_seen = Simd::Less(Simd::Set1(-kInfinity), highest);
    return Simd::Select(is_seen, highest, Simd::Zero());
  }
};

}  // namespace hadal::cpu
