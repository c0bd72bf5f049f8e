#include "scheduler/block_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hadal {
namespace {

BlockId Take(BlockPool& pool) {
  const std::optional<BlockId> block = pool.TakeFree();
  EXPECT_TRUE(block.has_value());
  return block.value_or(BlockId{0});
}

TEST(BlockPoolTest, GivesEachBlockOnce) {
  BlockPool pool(3);
  std::vector<BlockId> blocks = {Take(pool), Take(pool), Take(pool)};
  EXPECT_FALSE(pool.TakeFree().has_value());
  EXPECT_THAT(blocks, testing::UnorderedElementsAre(BlockId{0}, BlockId{1}, BlockId{2}));
  EXPECT_EQ(pool.num_used(), 3);
  pool.CheckInvariants();
}

TEST(BlockPoolTest, FreesWithTheLastOwner) {
  BlockPool pool(2);
  const BlockId block = Take(pool);
  pool.AddRef(block);
  pool.Release(block);
  EXPECT_EQ(pool.num_free(), 1);
  EXPECT_EQ(pool.ref_count(block), 1);
  pool.Release(block);
  EXPECT_EQ(pool.num_free(), 2);
  EXPECT_EQ(pool.num_cached(), 0);
  pool.CheckInvariants();
}

TEST(BlockPoolTest, KeptBlocksAreCachedInOrderOfRelease) {
  BlockPool pool(4);
  const std::vector<BlockId> blocks = {Take(pool), Take(pool), Take(pool)};
  for (const BlockId block : blocks) {
    pool.Keep(block);
  }
  EXPECT_EQ(pool.OldestCached(), std::nullopt);
  pool.Release(blocks[1]);
  pool.Release(blocks[0]);
  pool.Release(blocks[2]);
  EXPECT_EQ(pool.num_cached(), 3);
  EXPECT_EQ(pool.num_available(), 4);
  EXPECT_EQ(pool.OldestCached(), blocks[1]);
  pool.CheckInvariants();

  // Used again, and released as the newest.
  pool.AddRef(blocks[1]);
  EXPECT_EQ(pool.OldestCached(), blocks[0]);
  pool.Release(blocks[1]);
  pool.StopKeeping(blocks[0]);
  pool.StopKeeping(blocks[2]);
  EXPECT_EQ(pool.OldestCached(), blocks[1]);
  EXPECT_EQ(pool.num_free(), 3);
  pool.CheckInvariants();
}

TEST(BlockPoolTest, ABlockInTheMiddleLeavesTheList) {
  BlockPool pool(3);
  const std::vector<BlockId> blocks = {Take(pool), Take(pool), Take(pool)};
  for (const BlockId block : blocks) {
    pool.Keep(block);
    pool.Release(block);
  }
  pool.AddRef(blocks[1]);
  pool.CheckInvariants();
  EXPECT_EQ(pool.OldestCached(), blocks[0]);
  EXPECT_EQ(pool.num_cached(), 2);
}

TEST(BlockPoolDeathTest, MistakesEndTheProcess) {
  BlockPool pool(2);
  const BlockId block = Take(pool);
  EXPECT_DEATH(pool.Release(BlockId{block == BlockId{0} ? 1 : 0}), "ref_count");
  EXPECT_DEATH(pool.AddRef(BlockId{2}), "index");
  EXPECT_DEATH(pool.AddRef(BlockId{-1}), "index");
  EXPECT_DEATH(pool.StopKeeping(block), "kept");
  pool.Release(block);
  EXPECT_DEATH(pool.AddRef(block), "kept");  // a free block has no owner to share with
  EXPECT_DEATH(pool.Keep(block), "ref_count");
}

}  // namespace
}  // namespace hadal
