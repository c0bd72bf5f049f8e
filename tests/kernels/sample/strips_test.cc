#include "kernels/sample/strips.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

namespace hadal {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(StripsTest, CoverTheVocabulary) {
  EXPECT_EQ(NumStrips(0), 0U);
  EXPECT_EQ(NumStrips(1), 1U);
  EXPECT_EQ(NumStrips(64), 1U);
  EXPECT_EQ(NumStrips(65), 2U);
  const std::vector<float> values(130);
  EXPECT_EQ(StripOf(std::span(values), 1).data(), &values[64]);
  EXPECT_EQ(StripOf(std::span(values), 1).size(), 64U);
  EXPECT_EQ(StripOf(std::span(values), 2).size(), 2U);
}

// Wherever the highest stands, and whatever is not a number beside it.
TEST(StripsTest, HighestIsFoundAnywhere) {
  EXPECT_EQ(HighestOf({}), -kInfinity);
  for (size_t size = 1; size <= 64; ++size) {
    EXPECT_EQ(HighestOf(std::vector<float>(size, kNan)), -kInfinity);
    for (size_t i = 0; i < size; ++i) {
      for (const float other : {-2.0F, -kInfinity, kNan}) {
        std::vector<float> values(size, other);
        values[i] = -1;
        EXPECT_EQ(HighestOf(values), -1) << i << " of " << size;
      }
    }
  }
}

TEST(StripsTest, SumTakesEachOnce) {
  std::vector<float> values;
  for (size_t size = 0; size <= 64; ++size) {
    EXPECT_EQ(SumOf(values), std::ldexp(1.0, static_cast<int>(size)) - 1);
    values.push_back(std::ldexp(1.0F, static_cast<int>(size)));
    if (size == 52) {
      break;  // beyond, a double cannot hold the sum
    }
  }
}

}  // namespace
}  // namespace hadal
