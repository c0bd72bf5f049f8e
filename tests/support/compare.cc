#include "tests/support/compare.h"

#include <algorithm>
#include <cmath>

namespace hadal::test {
namespace {

template <typename T>
double NormOf(std::span<const T> x) {
  double sum = 0;
  for (const T value : x) {
    sum += double{value} * double{value};
  }
  return std::sqrt(sum);
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

testing::AssertionResult IsClose(std::span<const float> actual,
                                 std::span<const float> expected,
                                 std::span<const double> tolerances) {
  if (actual.size() != expected.size() || actual.size() != tolerances.size()) {
    return testing::AssertionFailure()
           << "sizes: " << actual.size() << " actual, " << expected.size() << " expected, "
           << tolerances.size() << " tolerances";
  }
  for (size_t i = 0; i < actual.size(); ++i) {
    const bool is_special = !std::isfinite(actual[i]) || !std::isfinite(expected[i]);
    const bool are_nan = std::isnan(actual[i]) && std::isnan(expected[i]);
    if (is_special && !are_nan && actual[i] != expected[i]) {
      return testing::AssertionFailure()
             << "element " << i << " is " << actual[i] << ", expected " << expected[i];
    }
  }
  size_t worst = 0;
  double worst_ratio = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double error = std::abs(double{actual[i]} - double{expected[i]});
    if (std::isfinite(error) && error > 0 && error / tolerances[i] > worst_ratio) {
      worst = i;
      worst_ratio = error / tolerances[i];
    }
  }
  if (worst_ratio > 1) {
    return testing::AssertionFailure()
           << "element " << worst << " is " << actual[worst] << ", expected " << expected[worst]
           << ": the difference is " << worst_ratio << " times the tolerance " << tolerances[worst];
  }
  return testing::AssertionSuccess();
}

}  // namespace hadal::test
