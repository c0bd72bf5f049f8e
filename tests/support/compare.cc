#include "tests/support/compare.h"

#include "kernels/self_test/bounds.h"

namespace hadal::test {

testing::AssertionResult IsClose(std::span<const float> actual,
                                 std::span<const float> expected,
                                 std::span<const double> tolerances) {
  if (actual.size() != expected.size() || actual.size() != tolerances.size()) {
    return testing::AssertionFailure()
           << "sizes: " << actual.size() << " actual, " << expected.size() << " expected, "
           << tolerances.size() << " tolerances";
  }
  const self_test::WorstElement worst = self_test::FindWorst(actual, expected, tolerances);
  if (worst.share > 1) {
    return testing::AssertionFailure()
           << "element " << worst.index << " is " << actual[worst.index] << ", expected "
           << expected[worst.index] << ": the difference is " << worst.share
           << " times the tolerance " << tolerances[worst.index];
  }
  return testing::AssertionSuccess();
}

}  // namespace hadal::test
