#include <vector>

#include <gtest/gtest.h>

#include "kernels/cuda/attention/plan.h"

namespace hadal::cuda {
namespace {

TEST(AttentionPlanTest, TilesOfSequencesDoNotMeet) {
  const std::vector<int64_t> lengths = {0, 1, 1, 7, 0, 64, 33, 2, 1};
  for (const int64_t num_heads : {1, 3, 16, 20, 128}) {
    for (const int64_t columns : {16, 32}) {
      int64_t start = 0;
      int64_t end_of_last = 0;
      for (int64_t i = 0; i < std::ssize(lengths); ++i) {
        const int64_t length = lengths[static_cast<size_t>(i)];
        const int64_t first = FirstQueryTile(start, i, num_heads, columns);
        EXPECT_GE(first, end_of_last);
        end_of_last = first + (length * num_heads + columns - 1) / columns;
        start += length;
      }
      EXPECT_LE(end_of_last, MaxQueryTiles(start, std::ssize(lengths), num_heads, columns));
    }
  }
}

TEST(AttentionPlanTest, PartsCoverTheContext) {
  EXPECT_EQ(NumParts(0), 1);
  EXPECT_EQ(NumParts(1), 1);
  EXPECT_EQ(NumParts(kPartPositions), 1);
  EXPECT_EQ(NumParts(kPartPositions + 1), 2);
}

TEST(AttentionPlanTest, ScratchIsBoundedUnlessATokenAloneNeedsMore) {
  EXPECT_EQ(ScratchBytesOfToken(16, 3, 512, 128), 16 * (128 + 3 * 514 + 1024) * 4);
  EXPECT_EQ(TokensAtOnce(kMaxScratchBytes / 10), 10);
  EXPECT_EQ(TokensAtOnce(kMaxScratchBytes / 10 + 1), 9);
  EXPECT_EQ(TokensAtOnce(kMaxScratchBytes + 1), 1);
}

TEST(AttentionPlanTest, ProductsJoinFewParts) {
  EXPECT_TRUE(JoinsInProduct(1, 1));
  EXPECT_TRUE(JoinsInProduct(1, kMostJoinedParts));
  EXPECT_FALSE(JoinsInProduct(1, kMostJoinedParts + 1));
  EXPECT_TRUE(JoinsInProduct(8, 7));
  EXPECT_FALSE(JoinsInProduct(9, 7));
  EXPECT_TRUE(JoinsInProduct(100000, 3)) << "not more to read";
}

}  // namespace
}  // namespace hadal::cuda
