#include "kernels/self_test/bounds.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

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
