#pragma once

#include <cstring>
#include <span>
#include <vector>

#include <gtest/gtest.h>

namespace hadal::test {

/// NaN and infinities are at the same places, and elsewhere |actual - expected| <= tolerance
/// (kernels/self_test/bounds.h). Names the worst element.
testing::AssertionResult IsClose(std::span<const float> actual,
                                 std::span<const float> expected,
                                 std::span<const double> tolerances);

/// The elements have the same bits.
template <typename T>
testing::AssertionResult HasSameBits(std::span<const T> actual, std::span<const T> expected) {
  if (actual.size() != expected.size()) {
    return testing::AssertionFailure() << actual.size() << " elements, not " << expected.size();
  }
  for (size_t i = 0; i < actual.size(); ++i) {
    if (std::memcmp(&actual[i], &expected[i], sizeof(T)) != 0) {
      return testing::AssertionFailure()
             << "element " << i << ": " << actual[i] << " has not the bits of " << expected[i];
    }
  }
  return testing::AssertionSuccess();
}
template <typename T>
testing::AssertionResult HasSameBits(const std::vector<T>& actual, const std::vector<T>& expected) {
  return HasSameBits(std::span<const T>(actual), std::span<const T>(expected));
}

}  // namespace hadal::test
