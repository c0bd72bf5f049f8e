#include "base/check.h"

#include <cstdint>

#include <gtest/gtest.h>

#include "base/checked_cast.h"

namespace hadal {
namespace {

TEST(CheckDeathTest, PrintsExpressionAndValues) {
  const int blocks = 3;
  EXPECT_DEATH(CHECK_EQ(blocks, 4), "blocks == 4 \\(3 vs. 4\\)");
  EXPECT_DEATH(CHECK(blocks > 10), "CHECK failed: blocks > 10");
}

TEST(CheckDeathTest, CheckedCastRefusesWhatDoesNotFit) {
  EXPECT_EQ(CheckedCast<int32_t>(int64_t{5}), 5);
  EXPECT_EQ(CheckedCast<int64_t>(size_t{5}), 5);
  EXPECT_DEATH(CheckedCast<int32_t>(int64_t{1} << 40), "in_range");
  EXPECT_DEATH(CheckedCast<uint32_t>(-1), "in_range");
}

TEST(CheckTest, EvaluatesOperandsOnce) {
  int calls = 0;
  const auto next = [&calls] { return ++calls; };
  CHECK_EQ(next(), 1);
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace hadal
