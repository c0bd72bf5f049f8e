#include "kernels/quantization/int4_group.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "base/dtype.h"
#include "kernels/quantization/lanes.h"

namespace hadal {
namespace {

constexpr int32_t kMostMultiplier = 15;
using lanes::Broadcast;
using lanes::Floats;
using lanes::Load;
using Subgroup = std::array<float, kSubgroupCols>;
using Subgroups = std::array<Subgroup, kSubgroups>;

Floats ValuesOf(Floats x, Floats inverse_step) {
  return lanes::Nearest(
      lanes::Min(lanes::Max(x * inverse_step, Broadcast(-8.0F)), Broadcast(7.0F)));
}

// The sum of the squared errors of x in whole steps.
float ErrorOf(const Subgroup& x, float step) {
  const Floats steps = Broadcast(step);
  const Floats inverse = Broadcast(1.0F / step);
  Floats even = {};  // two sums, so that neither waits for itself
  Floats odd = {};
  for (size_t i = 0; i < x.size(); i += 2 * lanes::kNumLanes) {
    const Floats a = Load(x.data() + i);
    const Floats b = Load(x.data() + i + lanes::kNumLanes);
    const Floats a_error = a - ValuesOf(a, inverse) * steps;
    const Floats b_error = b - ValuesOf(b, inverse) * steps;
    even += a_error * a_error;
    odd += b_error * b_error;
  }
  return lanes::Sum(even + odd);
}

// Of the values that x has in whole steps: their products with x, and with themselves.
struct Products {
  float with_x;
  float with_values;
};

Products ProductsOf(const Subgroup& x, float step) {
  const Floats inverse = Broadcast(1.0F / step);
  Floats with_x = {};
  Floats with_values = {};
  for (size_t i = 0; i < x.size(); i += lanes::kNumLanes) {
    const Floats part = Load(x.data() + i);
    const Floats values = ValuesOf(part, inverse);
    with_x += part * values;
    with_values += values * values;
  }
  return {.with_x = lanes::Sum(with_x), .with_values = lanes::Sum(with_values)};
}

float Magnitude(const Subgroup& x) {
  Floats highest = {};
  for (size_t i = 0; i < x.size(); i += lanes::kNumLanes) {
    const Floats part = Load(x.data() + i);
    highest = lanes::Max(highest, lanes::Max(part, -part));
  }
  return std::max(std::max(highest[0], highest[1]), std::max(highest[2], highest[3]));
}

// The step of this sign that fits a subgroup of that magnitude well: of some that bring its largest
// to between 6.75 and 8.25 steps the best, then the best one for the values that it gives.
float FindStep(const Subgroup& x, float magnitude, float sign) {
  float best = 0;
  float best_error = 0;
  for (const float reach : {6.75F, 7.5F, 8.25F}) {
    const float step = sign * magnitude / reach;
    const float error = ErrorOf(x, step);
    if (best == 0 || error < best_error) {
      best = step;
      best_error = error;
    }
  }
  const Products products = ProductsOf(x, best);
  const float step = products.with_x / products.with_values;
  return step * sign > 0 ? step : best;
}

// A scale with the multipliers that are best for it.
struct Fit {
  float scale = 0;
  float error = std::numeric_limits<float>::infinity();
  std::array<int32_t, kSubgroups> multipliers = {};
};

float StepOf(const Fit& fit, size_t subgroup) {
  return static_cast<float>(fit.multipliers[subgroup]) * fit.scale;
}

Fit FitScale(const Subgroups& x, const std::array<float, kSubgroups>& steps, float scale) {
  Fit fit = {.scale = scale, .error = 0, .multipliers = {}};
  for (size_t s = 0; s < kSubgroups; ++s) {
    const auto below = static_cast<int32_t>(steps[s] / scale);
    float best_error = 0;
    for (int32_t m = std::max(1, below); m <= std::clamp(below + 1, 1, kMostMultiplier); ++m) {
      const float error = ErrorOf(x[s], static_cast<float>(m) * scale);
      if (fit.multipliers[s] == 0 || error < best_error) {
        fit.multipliers[s] = m;
        best_error = error;
      }
    }
    fit.error += best_error;
  }
  return fit;
}

float RoundToBf16(float x) {
  return ToFloat(ToBf16(x));
}

// The best fit whose scale has this sign, of those that reach the widest step with multiplier 15 or
// 14.
Fit FitSign(const Subgroups& x, const std::array<float, kSubgroups>& magnitudes, float sign) {
  constexpr float kLeast = 0x1p-64F;  // next to the largest, which is 0.5 or more, this is nothing
  std::array<float, kSubgroups> steps = {};
  float widest = 0;
  for (size_t s = 0; s < kSubgroups; ++s) {
    if (magnitudes[s] >= kLeast) {
      steps[s] = FindStep(x[s], magnitudes[s], sign);
      widest = std::max(widest, std::abs(steps[s]));
    }
  }
  Fit best;
  for (const int32_t multiplier : {kMostMultiplier, kMostMultiplier - 1}) {
    const float scale = RoundToBf16(sign * widest / static_cast<float>(multiplier));
    const Fit fit = FitScale(x, steps, scale);
    best = fit.error < best.error ? fit : best;
  }
  return best;
}

// The scale that is best for the values that `fit` gives, if the values that it gives are better.
void ImproveScale(const Subgroups& x, Fit& fit) {
  float with_x = 0;
  float with_values = 0;
  for (size_t s = 0; s < kSubgroups; ++s) {
    const auto multiplier = static_cast<float>(fit.multipliers[s]);
    const Products products = ProductsOf(x[s], StepOf(fit, s));
    with_x += multiplier * products.with_x;
    with_values += multiplier * multiplier * products.with_values;
  }
  Fit improved = fit;
  improved.scale = RoundToBf16(with_x / with_values);
  if (improved.scale * fit.scale <= 0) {
    return;
  }
  improved.error = 0;
  for (size_t s = 0; s < kSubgroups; ++s) {
    improved.error += ErrorOf(x[s], StepOf(improved, s));
  }
  fit = improved.error < fit.error ? improved : fit;
}

}  // namespace

Int4Group RoundToInt4(std::span<const float> x) {
  Int4Group group;
  Subgroups parts = {};  // zero behind the end of x
  for (size_t i = 0; i < x.size(); ++i) {
    parts[i / kSubgroupCols][i % kSubgroupCols] = x[i];
  }
  std::array<float, kSubgroups> magnitudes = {};
  std::transform(parts.begin(), parts.end(), magnitudes.begin(), Magnitude);
  const float magnitude = *std::max_element(magnitudes.begin(), magnitudes.end());
  // Scales are at least a 135th of it, and must be normal numbers.
  if (magnitude < std::numeric_limits<float>::min() * 256) {
    return group;
  }
  // A power of two brings the largest to between 0.5 and 1, so that squares stay within bounds. It
  // changes no rounding.
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  const float unit = std::ldexp(1.0F, -exponent);
  for (size_t s = 0; s < kSubgroups; ++s) {
    magnitudes[s] *= unit;
    for (float& value : parts[s]) {
      value *= unit;
    }
  }
  const Fit positive = FitSign(parts, magnitudes, 1);
  const Fit negative = FitSign(parts, magnitudes, -1);
  Fit fit = positive.error <= negative.error ? positive : negative;
  ImproveScale(parts, fit);

  group.scale = std::ldexp(fit.scale, exponent);
  group.multipliers = fit.multipliers;
  for (size_t s = 0; s < kSubgroups; ++s) {
    const Floats inverse = Broadcast(1.0F / StepOf(fit, s));
    for (size_t i = 0; i < parts[s].size(); i += lanes::kNumLanes) {
      const Floats values = ValuesOf(Load(parts[s].data() + i), inverse);
      for (size_t lane = 0; lane < lanes::kNumLanes; ++lane) {
        group.values[s * kSubgroupCols + i + lane] = static_cast<int8_t>(values[lane]);
      }
    }
  }
  return group;
}

}  // namespace hadal
