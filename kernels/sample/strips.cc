#include "kernels/sample/strips.h"

#include <limits>

#include "kernels/quantization/lanes.h"

namespace hadal {
namespace {

using lanes::Floats;

constexpr auto kNumLanes = static_cast<size_t>(lanes::kNumLanes);

}  // namespace

float HighestOf(std::span<const float> values) {
  Floats even = lanes::Broadcast(-std::numeric_limits<float>::infinity());
  Floats odd = even;
  size_t i = 0;
  for (; i + 2 * kNumLanes <= values.size(); i += 2 * kNumLanes) {
    even = lanes::Max(lanes::Load(&values[i]), even);  // takes no NaN
    odd = lanes::Max(lanes::Load(&values[i + kNumLanes]), odd);
  }
  const Floats all = lanes::Max(even, odd);
  float highest = std::max(std::max(all[0], all[1]), std::max(all[2], all[3]));
  for (; i < values.size(); ++i) {
    highest = std::max(highest, values[i]);
  }
  return highest;
}

double SumOf(std::span<const float> values) {
  using Doubles [[gnu::vector_size(32)]] = double;
  Doubles even = {};
  Doubles odd = {};
  size_t i = 0;
  for (; i + 2 * kNumLanes <= values.size(); i += 2 * kNumLanes) {
    even += __builtin_convertvector(lanes::Load(&values[i]), Doubles);
    odd += __builtin_convertvector(lanes::Load(&values[i + kNumLanes]), Doubles);
  }
  const Doubles sums = even + odd;
  double sum = (sums[0] + sums[2]) + (sums[1] + sums[3]);
  for (; i < values.size(); ++i) {
    sum += double{values[i]};
  }
  return sum;
}

}  // namespace hadal
