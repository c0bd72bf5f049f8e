#include "kernels/quantization/int8_row.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

namespace hadal {
namespace {

// The largest magnitude, or NaN when there is one that is not finite.
float Magnitude(std::span<const float> x) {
  // Bits of magnitudes are ordered as the magnitudes are, NaN above infinity above all numbers.
  constexpr uint32_t kInfinityBits = 0x7F800000;
  uint32_t highest = 0;
  for (const float value : x) {
    highest = std::max(highest, std::bit_cast<uint32_t>(value) & 0x7FFFFFFFU);
  }
  return highest >= kInfinityBits ? std::numeric_limits<float>::quiet_NaN()
                                  : std::bit_cast<float>(highest);
}

}  // namespace

void RoundToInt8(std::span<const float> x, int8_t* values, float* scales, int32_t* sums) {
  const int64_t cols = std::ssize(x);
  for (int64_t group = 0; group < NumGroups(cols); ++group) {
    const int64_t begin = group * kGroupCols;
    const auto part = x.subspan(static_cast<size_t>(begin),
                                static_cast<size_t>(std::min(kGroupCols, cols - begin)));
    const float magnitude = Magnitude(part);
    // Below the smallest normal number the inverse would be infinite: such a group is zero.
    const bool is_zero = magnitude < std::numeric_limits<float>::min() * 127;
    const bool is_finite = !std::isnan(magnitude);
    const float inverse = is_zero || !is_finite ? 0.0F : 127.0F / magnitude;
    scales[group] = is_zero ? 0.0F : magnitude / 127.0F;
    const int64_t end = std::min(begin + kGroupCols, PaddedCols(cols));
    for (int64_t i = begin; i < end; ++i) {
      values[i] = i < cols && is_finite
                      ? static_cast<int8_t>(std::nearbyint(x[static_cast<size_t>(i)] * inverse))
                      : int8_t{0};
    }
    for (int64_t i = begin; i < end; i += kSubgroupCols) {
      int32_t sum = 0;
      for (int64_t j = 0; j < kSubgroupCols; ++j) {
        sum += values[i + j];
      }
      sums[i / kSubgroupCols] = sum;
    }
  }
}

void RoundThroughInt8(std::span<const float> x, std::span<float> y) {
  std::array<int8_t, kGroupCols> values = {};
  std::array<int32_t, kGroupCols / kSubgroupCols> sums = {};
  for (size_t begin = 0; begin < x.size(); begin += values.size()) {
    const auto part = x.subspan(begin, std::min(values.size(), x.size() - begin));
    float scale = 0;
    RoundToInt8(part, values.data(), &scale, sums.data());
    for (size_t i = 0; i < part.size(); ++i) {
      y[begin + i] = static_cast<float>(values[i]) * scale;
    }
  }
}

}  // namespace hadal
