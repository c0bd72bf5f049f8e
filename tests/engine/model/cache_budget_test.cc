#include "engine/model/cache_budget.h"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/golden.h"

namespace hadal {
namespace {

using testing::HasSubstr;

int64_t ParsedBytes(std::string_view text) {
  const auto memory = ParseCacheMemory(text);
  EXPECT_TRUE(memory.ok()) << memory.status();
  return memory.ok() ? std::get<CacheBytes>(*memory).bytes : -1;
}

TEST(ParseCacheMemoryTest, SizesAndShares) {
  EXPECT_EQ(ParsedBytes("1"), 1);
  EXPECT_EQ(ParsedBytes("4294967296"), int64_t{1} << 32U);
  EXPECT_EQ(ParsedBytes("3KiB"), 3072);
  EXPECT_EQ(ParsedBytes("512MiB"), int64_t{512} << 20U);
  EXPECT_EQ(ParsedBytes("4GiB"), int64_t{4} << 30U);
  EXPECT_EQ(ParsedBytes("1TiB"), int64_t{1} << 40U);
  EXPECT_EQ(ParsedBytes("7kB"), 7000);
  EXPECT_EQ(ParsedBytes("7MB"), 7'000'000);
  EXPECT_EQ(ParsedBytes("2GB"), 2'000'000'000);
  EXPECT_EQ(ParsedBytes("2TB"), 2'000'000'000'000);
  EXPECT_EQ(ParsedBytes("9223372036854775807"), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(std::get<CachePercent>(*ParseCacheMemory("50%")).percent, 50);
  EXPECT_EQ(std::get<CachePercent>(*ParseCacheMemory("100%")).percent, 100);
}

TEST(ParseCacheMemoryTest, RefusesEverythingElse) {
  for (const char* text : {"",
                           "GiB",
                           "%",
                           "-1",
                           "-5GiB",
                           "+5",
                           "0",
                           "0GiB",
                           "0%",
                           "-3%",
                           "101%",
                           "4 GiB",
                           " 4GiB",
                           "4GiB ",
                           "4gib",
                           "4G",
                           "4B",
                           "1.5GiB",
                           "5%%",
                           "0x10",
                           "1e9",
                           "many",
                           "4GiB5",
                           "9223372036854775808",
                           "9223372036854775807KiB",
                           "8388608TiB",
                           "99999999999999999999%"}) {
    const auto memory = ParseCacheMemory(text);
    EXPECT_EQ(memory.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(MessageOf(memory.status())),
                HasSubstr(absl::StrFormat("\"%s\"", text)));
  }
}

class NumCacheBlocksTest : public testing::Test {
 protected:
  // By default nothing but memory limits the blocks.
  CacheBudgetArgs Args(std::optional<CacheMemory> memory) const {
    return {.config = golden_.config(),
            .mtp = MtpCache::kNone,
            .dtype = DType::kBf16,
            .memory = memory,
            .available_bytes = 1000 * block_bytes_,
            .weight_bytes = 200 * block_bytes_,
            .max_running_sequences = 1'000'000,
            .max_sequence_tokens = 1'000'000};
  }

  const Golden golden_ = Golden::Load("v3-bf16");
  const int64_t block_bytes_ = CacheBytesPerBlock(golden_.config(), MtpCache::kNone, DType::kBf16);
};

TEST_F(NumCacheBlocksTest, AsManyAsTheBytesHold) {
  EXPECT_EQ(*NumCacheBlocks(Args(CacheBytes{5 * block_bytes_})), 5);
  EXPECT_EQ(*NumCacheBlocks(Args(CacheBytes{6 * block_bytes_ - 1})), 5);
  EXPECT_EQ(*NumCacheBlocks(Args(CacheBytes{1000 * block_bytes_})), 1000);
  CacheBudgetArgs wide = Args(CacheBytes{6 * block_bytes_});
  wide.dtype = DType::kF32;
  EXPECT_EQ(*NumCacheBlocks(wide), 3);
  wide.mtp = MtpCache::kIncluded;
  EXPECT_EQ(*NumCacheBlocks(wide), 2);
}

TEST_F(NumCacheBlocksTest, ASharesWholeIsWhatTheWeightsLeave) {
  EXPECT_EQ(*NumCacheBlocks(Args(CachePercent{25})), 200);
  EXPECT_EQ(*NumCacheBlocks(Args(CachePercent{100})), 800);
}

TEST_F(NumCacheBlocksTest, ByDefaultHalfButNoMoreThanCanBeUsed) {
  EXPECT_EQ(*NumCacheBlocks(Args(std::nullopt)), 400);
  CacheBudgetArgs args = Args(std::nullopt);
  args.max_running_sequences = 3;
  args.max_sequence_tokens = 129;
  EXPECT_EQ(*NumCacheBlocks(args), 9);
  args.memory = CachePercent{50};
  EXPECT_EQ(*NumCacheBlocks(args), 400);
}

TEST_F(NumCacheBlocksTest, RefusesLessThanABlockAndMoreThanThereIs) {
  for (const CacheBytes memory : {CacheBytes{block_bytes_ - 1},
                                  CacheBytes{1000 * block_bytes_ + 1},
                                  CacheBytes{std::numeric_limits<int64_t>::max()}}) {
    EXPECT_EQ(NumCacheBlocks(Args(memory)).status().code(), absl::StatusCode::kInvalidArgument);
  }
  CacheBudgetArgs args = Args(std::nullopt);
  args.weight_bytes = args.available_bytes + 1;
  const absl::Status status = NumCacheBlocks(args).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("the weights take"));
}

}  // namespace
}  // namespace hadal
