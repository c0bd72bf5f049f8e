#include "scheduler/prefix_cache.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/api/forward_batch.h"
#include "tests/scheduler/request_maker.h"

namespace hadal::test {
namespace {

constexpr CacheSalt kSalt = {.tenant = 3, .value = 7};

std::span<const TokenId> BlockOf(std::span<const TokenId> tokens, size_t i) {
  return tokens.subspan(i * static_cast<size_t>(kBlockSize), static_cast<size_t>(kBlockSize));
}

std::vector<uint64_t> Hashes(const CacheSalt& salt, std::span<const TokenId> tokens) {
  std::vector<uint64_t> hashes;
  for (size_t i = 0; i < tokens.size() / static_cast<size_t>(kBlockSize); ++i) {
    hashes.push_back(HashBlock(i == 0 ? HashSalt(salt) : hashes.back(), BlockOf(tokens, i)));
  }
  return hashes;
}

class PrefixCacheTest : public testing::Test {
 protected:
  // Computes `tokens`, all full blocks, as a sequence would. The caller owns the blocks.
  std::vector<BlockId> Compute(std::span<const TokenId> tokens, const CacheSalt& salt) {
    const std::vector<uint64_t> hashes = Hashes(salt, tokens);
    std::vector<BlockId> blocks;
    for (size_t i = 0; i < hashes.size(); ++i) {
      const std::optional<BlockId> block = cache_.Allocate();
      EXPECT_TRUE(block.has_value());
      const std::optional<BlockId> kept =
          cache_.Insert({.parent = i == 0 ? std::nullopt : std::optional(blocks.back()),
                         .salt = salt,
                         .hash = hashes[i],
                         .tokens = BlockOf(tokens, i),
                         .block = *block});
      EXPECT_TRUE(kept.has_value());
      if (*kept != *block) {
        pool_.AddRef(*kept);
        pool_.Release(*block);
      }
      blocks.push_back(*kept);
    }
    CheckInvariants();
    return blocks;
  }

  void Release(const std::vector<BlockId>& blocks) {
    std::for_each(blocks.rbegin(), blocks.rend(), [this](BlockId block) { pool_.Release(block); });
    CheckInvariants();
  }

  PrefixCache::Match Find(std::span<const TokenId> tokens, const CacheSalt& salt) {
    found_.clear();
    return cache_.Find(salt, tokens, Hashes(salt, tokens), found_);
  }

  void CheckInvariants() {
    pool_.CheckInvariants();
    cache_.CheckInvariants();
  }

  BlockPool pool_{8};
  PrefixCache cache_{pool_};
  std::vector<BlockId> found_;
};

TEST_F(PrefixCacheTest, FindsWhatWasComputed) {
  const std::vector<TokenId> tokens = Tokens(3 * kBlockSize, 0);
  EXPECT_EQ(Find(tokens, kSalt).miss, CacheMiss::kNeverSeen);
  const std::vector<BlockId> blocks = Compute(tokens, kSalt);
  for (const bool is_owned : {true, false}) {
    const PrefixCache::Match match = Find(tokens, kSalt);
    EXPECT_EQ(match.num_blocks, 3);
    EXPECT_EQ(match.miss, CacheMiss::kNone);
    EXPECT_EQ(match.position, 3 * kBlockSize);
    EXPECT_EQ(found_, blocks);
    if (is_owned) {
      Release(blocks);
    }
  }
}

TEST_F(PrefixCacheTest, SaysWherePromptsPart) {
  std::vector<TokenId> tokens = Tokens(3 * kBlockSize, 0);
  Release(Compute(tokens, kSalt));
  tokens[static_cast<size_t>(kBlockSize) + 5] = -1;
  const PrefixCache::Match match = Find(tokens, kSalt);
  EXPECT_EQ(match.num_blocks, 1);
  EXPECT_EQ(match.miss, CacheMiss::kDiverged);
  EXPECT_EQ(match.position, kBlockSize + 5);

  tokens[0] = -1;
  EXPECT_EQ(Find(tokens, kSalt).num_blocks, 0);
  EXPECT_EQ(Find(tokens, kSalt).position, 0);
}

TEST_F(PrefixCacheTest, TheBestOfSeveralContinuationsCounts) {
  const std::vector<TokenId> root = Tokens(kBlockSize, 0);
  std::vector<TokenId> tokens = root;
  for (const TokenId last : {100, 101, 102}) {
    tokens = root;
    std::vector<TokenId> more = Tokens(kBlockSize, 500);
    more[static_cast<size_t>(last - 90)] = last;
    tokens.insert(tokens.end(), more.begin(), more.end());
    Release(Compute(tokens, kSalt));
  }
  tokens[static_cast<size_t>(kBlockSize) + 20] = -1;  // the last one has its own at 12
  const PrefixCache::Match match = Find(tokens, kSalt);
  EXPECT_EQ(match.num_blocks, 1);
  EXPECT_EQ(match.position, kBlockSize + 20);
}

TEST_F(PrefixCacheTest, SaltsShareNothing) {
  const std::vector<TokenId> tokens = Tokens(2 * kBlockSize, 0);
  const std::vector<BlockId> mine = Compute(tokens, kSalt);
  for (const CacheSalt& other :
       {CacheSalt{.tenant = 3, .value = 8}, CacheSalt{.tenant = 4, .value = 7}}) {
    EXPECT_EQ(Find(tokens, other).num_blocks, 0);
    EXPECT_EQ(Find(tokens, other).position, 0);
    EXPECT_EQ(Find(tokens, other).miss, CacheMiss::kNeverSeen) << "what others asked is secret";
    const std::vector<BlockId> theirs = Compute(tokens, other);
    EXPECT_NE(mine, theirs);
  }
  EXPECT_EQ(Find(tokens, kSalt).num_blocks, 2);
}

TEST(SaltTest, TenantsAreApartUnlessTheyShare) {
  Request a = MakeRequest(1, 10, 1);
  Request b = MakeRequest(2, 10, 1);
  EXPECT_EQ(SaltOf(a), SaltOf(b));
  b.tenant = TenantId{-1};
  EXPECT_NE(SaltOf(a), SaltOf(b));
  b.cache_sharing = CacheSharing::kAmongAll;
  EXPECT_NE(SaltOf(a), SaltOf(b));
  a.cache_sharing = CacheSharing::kAmongAll;
  EXPECT_EQ(SaltOf(a), SaltOf(b));
  b.cache_salt = 1;
  EXPECT_NE(SaltOf(a), SaltOf(b));
}

TEST_F(PrefixCacheTest, EqualTokensShareOneBlock) {
  const std::vector<TokenId> tokens = Tokens(2 * kBlockSize, 0);
  const std::vector<BlockId> first = Compute(tokens, kSalt);
  const std::vector<BlockId> second = Compute(tokens, kSalt);
  EXPECT_EQ(first, second);
  EXPECT_EQ(pool_.num_used(), 2);
  EXPECT_EQ(pool_.ref_count(first[0]), 2);
}

TEST_F(PrefixCacheTest, AHashSharedByOtherTokensIsAMiss) {
  const std::vector<TokenId> tokens = Tokens(kBlockSize, 0);
  const std::vector<TokenId> others = Tokens(kBlockSize, 1);
  Compute(tokens, kSalt);
  const std::vector<uint64_t> collision = Hashes(kSalt, tokens);
  EXPECT_EQ(cache_.Find(kSalt, others, collision, found_).num_blocks, 0);
  const std::optional<BlockId> block = cache_.Allocate();
  EXPECT_EQ(cache_.Insert({.parent = std::nullopt,
                           .salt = kSalt,
                           .hash = collision[0],
                           .tokens = others,
                           .block = *block}),
            std::nullopt);
}

TEST_F(PrefixCacheTest, NothingHangsBelowABlockThatIsNotKept) {
  const std::optional<BlockId> parent = cache_.Allocate();
  const std::optional<BlockId> block = cache_.Allocate();
  const std::vector<TokenId> tokens = Tokens(kBlockSize, 0);
  EXPECT_EQ(cache_.Insert(
                {.parent = parent, .salt = kSalt, .hash = 1, .tokens = tokens, .block = *block}),
            std::nullopt);
  CheckInvariants();
}

TEST_F(PrefixCacheTest, TheLongestUnusedGivesWayLeavesFirst) {
  const std::vector<TokenId> old = Tokens(3 * kBlockSize, 0);
  const std::vector<TokenId> recent = Tokens(4 * kBlockSize, 5000);
  Release(Compute(old, kSalt));
  Release(Compute(recent, kSalt));
  std::vector<BlockId> taken;
  for (int i = 0; i < 3; ++i) {  // one is free, two give way
    taken.push_back(*cache_.Allocate());
    CheckInvariants();
  }
  EXPECT_EQ(Find(recent, kSalt).num_blocks, 4);
  const PrefixCache::Match match = Find(old, kSalt);
  EXPECT_EQ(match.num_blocks, 1);
  EXPECT_EQ(match.miss, CacheMiss::kEvicted);
  EXPECT_EQ(match.position, kBlockSize);

  // Computed again, it is known again.
  Release(taken);
  Release(Compute(old, kSalt));
  EXPECT_EQ(Find(old, kSalt).miss, CacheMiss::kNone);
}

TEST_F(PrefixCacheTest, UsedBlocksNeverGiveWay) {
  const std::vector<BlockId> blocks = Compute(Tokens(8 * kBlockSize, 0), kSalt);
  EXPECT_EQ(cache_.Allocate(), std::nullopt);
  pool_.Release(blocks.back());
  EXPECT_EQ(cache_.Allocate(), blocks.back());
  EXPECT_EQ(cache_.Allocate(), std::nullopt);
}

TEST_F(PrefixCacheTest, MemoryOfWhatGaveWayIsBounded) {
  for (TokenId first = 0; first < 100; ++first) {
    Release(Compute(Tokens(3 * kBlockSize, 1000 * first), kSalt));
  }
  CheckInvariants();
  EXPECT_EQ(Find(Tokens(3 * kBlockSize, 0), kSalt).miss, CacheMiss::kDiverged) << "long forgotten";
}

TEST(HashBlockTest, DependsOnEveryTokenAndTheParent) {
  const std::vector<TokenId> tokens = Tokens(kBlockSize, 0);
  const uint64_t hash = HashBlock(1, tokens);
  EXPECT_EQ(HashBlock(1, tokens), hash);
  EXPECT_NE(HashBlock(2, tokens), hash);
  for (size_t i = 0; i < tokens.size(); ++i) {
    std::vector<TokenId> others = tokens;
    others[i] ^= 1;
    EXPECT_NE(HashBlock(1, others), hash);
  }
}

}  // namespace
}  // namespace hadal::test
