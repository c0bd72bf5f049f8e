#include "kernels/self_test/bounds.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "kernels/quantization/int8_row.h"

namespace hadal::self_test {
namespace {

template <typename T>
double NormOf(std::span<const T> x) {
  double sum = 0;
  for (const T value : x) {
    sum += double{value} * double{value};
  }
  return std::sqrt(sum);
}

// The error as a share of the tolerance.
double ShareOf(float actual, float expected, double tolerance) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (actual == expected || (std::isnan(actual) && std::isnan(expected))) {
    return 0;
  }
  if (!std::isfinite(actual) || !std::isfinite(expected) || !(tolerance > 0)) {
    return kInfinity;
  }
  return std::abs(double{actual} - double{expected}) / tolerance;
}

}  // namespace

double Gamma(int64_t n) {
  const auto count = static_cast<double>(n);
  return kUnit * std::min(count, 6.0 * std::sqrt(count));
}

double Gamma(const WeightMatrix& weight) {
  switch (weight.format) {
    case WeightFormat::kF32:
    case WeightFormat::kF16:
      return Gamma(weight.cols);
    case WeightFormat::kBf16:
    case WeightFormat::kFp8Block:
      return Gamma(weight.cols) + 0x1p-17;
    case WeightFormat::kInt8:
    case WeightFormat::kInt4:
      return Gamma(weight.cols) + 4 * kUnit;
  }
  return Gamma(weight.cols);
}

std::vector<float> RoundedInput(WeightFormat format, std::span<const float> x) {
  std::vector<float> rounded(x.begin(), x.end());
  if (IsQuantized(format)) {
    RoundThroughInt8(x, rounded);
  }
  return rounded;
}

Bounded RoundedInput(WeightFormat format, const Bounded& x) {
  if (!IsQuantized(format)) {
    return x;
  }
  Bounded rounded = x;
  for (size_t begin = 0; begin < x.values.size(); begin += kGroupCols) {
    const size_t end = std::min(begin + kGroupCols, x.values.size());
    double magnitude = 0;
    double error = 0;
    for (size_t i = begin; i < end; ++i) {
      magnitude = std::max(magnitude, std::abs(x.values[i]));
      error = std::max(error, x.errors[i]);
    }
    const double step = magnitude / 127;
    for (size_t i = begin; i < end && step > 0; ++i) {
      const double quotient = x.values[i] / step;
      const double doubt =
          x.errors[i] / step + std::abs(quotient) * (error / magnitude + 4 * kUnit);
      const double to_tie = std::abs(quotient - std::floor(quotient) - 0.5);
      rounded.values[i] = std::nearbyint(quotient) * step;
      rounded.errors[i] = std::abs(quotient) * (error / 127 + 2 * kUnit * step) +
                          (to_tie <= doubt ? 1.01 * step : 0);
    }
  }
  return rounded;
}

double Norm(std::span<const float> x) {
  return NormOf(x);
}

double Norm(std::span<const double> x) {
  return NormOf(x);
}

std::vector<double> RowNorms(const WeightMatrix& weight) {
  std::vector<double> norms;
  for (int64_t row = 0; row < weight.rows; ++row) {
    double sum = 0;
    for (int64_t col = 0; col < weight.cols; ++col) {
      const double value = WeightAt(weight, row, col);
      sum += value * value;
    }
    norms.push_back(std::sqrt(sum));
  }
  return norms;
}

WorstElement FindWorst(std::span<const float> actual,
                       std::span<const float> expected,
                       std::span<const double> tolerances) {
  CHECK_EQ(actual.size(), expected.size());
  CHECK_EQ(actual.size(), tolerances.size());
  WorstElement worst;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double share = ShareOf(actual[i], expected[i], tolerances[i]);
    if (share > worst.share) {
      worst = {.index = i, .share = share};
    }
  }
  return worst;
}

}  // namespace hadal::self_test
