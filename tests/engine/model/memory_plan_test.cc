#include "engine/model/memory_plan.h"

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

class PlanMemoryTest : public testing::Test {
 protected:
  // By default nothing but memory limits the blocks.
  MemoryPlanArgs Args(std::optional<CacheMemory> memory) const {
    return {.config = golden_.config(),
            .mtp = MtpCache::kNone,
            .cache_dtype = DType::kBf16,
            .memory = memory,
            .device = CpuDevice(),
            .available_bytes = 1000 * block_bytes_,
            .weight_bytes = 150 * block_bytes_,
            .step_bytes = 50 * block_bytes_,
            .max_running_sequences = 1'000'000,
            .max_sequence_tokens = 1'000'000};
  }

  MemoryPlanArgs DeviceArgs(std::optional<CacheMemory> memory) const {
    static const Device kDevice = [] {
      Device device = CpuDevice();
      device.name = "other";
      device.is_host = false;
      return device;
    }();
    const MemoryPlanArgs args = Args(memory);
    return {.config = args.config,
            .mtp = args.mtp,
            .cache_dtype = args.cache_dtype,
            .memory = memory,
            .device = kDevice,
            .available_bytes = args.available_bytes,
            .weight_bytes = args.weight_bytes,
            .step_bytes = args.step_bytes,
            .max_running_sequences = args.max_running_sequences,
            .max_sequence_tokens = args.max_sequence_tokens};
  }

  static int64_t NumBlocks(const MemoryPlanArgs& args) {
    const auto plan = PlanMemory(args);
    EXPECT_TRUE(plan.ok()) << plan.status();
    return plan.ok() ? plan->num_blocks : -1;
  }

  const Golden golden_ = Golden::Load("v3-bf16");
  const int64_t block_bytes_ = CacheBytesPerBlock(golden_.config(), MtpCache::kNone, DType::kBf16);
};

TEST_F(PlanMemoryTest, AsManyBlocksAsTheBytesHold) {
  EXPECT_EQ(NumBlocks(Args(CacheBytes{5 * block_bytes_})), 5);
  EXPECT_EQ(NumBlocks(Args(CacheBytes{6 * block_bytes_ - 1})), 5);
  EXPECT_EQ(NumBlocks(Args(CacheBytes{950 * block_bytes_})), 950);
  MemoryPlanArgs wide = Args(CacheBytes{6 * block_bytes_});
  wide.cache_dtype = DType::kF32;
  EXPECT_EQ(NumBlocks(wide), 3);
  wide.mtp = MtpCache::kIncluded;
  EXPECT_EQ(NumBlocks(wide), 2);
}

TEST_F(PlanMemoryTest, ASharesWholeIsWhatWeightsAndStepsLeave) {
  EXPECT_EQ(NumBlocks(Args(CachePercent{25})), 200);
  EXPECT_EQ(NumBlocks(Args(CachePercent{100})), 800);
  EXPECT_EQ(NumBlocks(DeviceArgs(CachePercent{100})), 800);
}

TEST_F(PlanMemoryTest, ByDefaultAShareButNoMoreThanCanBeUsed) {
  EXPECT_EQ(NumBlocks(Args(std::nullopt)), 400);
  EXPECT_EQ(NumBlocks(DeviceArgs(std::nullopt)), 720);
  MemoryPlanArgs args = Args(std::nullopt);
  args.max_running_sequences = 3;
  args.max_sequence_tokens = 129;
  EXPECT_EQ(NumBlocks(args), 9);
  args.memory = CachePercent{50};
  EXPECT_EQ(NumBlocks(args), 400);
}

TEST_F(PlanMemoryTest, NamesEveryNumber) {
  const auto plan = PlanMemory(DeviceArgs(CacheBytes{5 * block_bytes_}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->needed_bytes(), 205 * block_bytes_);
  EXPECT_TRUE(plan->Fits());
  EXPECT_EQ(Describe(*plan),
            absl::StrFormat("%d bytes available on device other: weights %d, steps %d, cache %d (5 "
                            "blocks, 320 tokens), %d left",
                            1000 * block_bytes_,
                            150 * block_bytes_,
                            50 * block_bytes_,
                            5 * block_bytes_,
                            795 * block_bytes_));
}

void ExpectRefused(const MemoryPlanArgs& args, std::string_view word) {
  const absl::Status status = PlanMemory(args).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr(std::string(word)));
  EXPECT_THAT(
      std::string(MessageOf(status)),
      HasSubstr(absl::StrFormat("weights %d, steps %d", args.weight_bytes, args.step_bytes)));
}

TEST_F(PlanMemoryTest, RefusesLessThanABlockAndMoreThanThereIs) {
  ExpectRefused(Args(CacheBytes{block_bytes_ - 1}), "no block");
  ExpectRefused(Args(CacheBytes{951 * block_bytes_}), "exceed");
  ExpectRefused(Args(CacheBytes{std::numeric_limits<int64_t>::max()}), "exceed");
  ExpectRefused(DeviceArgs(CacheBytes{801 * block_bytes_}), "exceed");
  MemoryPlanArgs args = DeviceArgs(CacheBytes{block_bytes_});
  args.weight_bytes = args.available_bytes - args.step_bytes;
  ExpectRefused(args, "exceed");
}

// They are read from their files again and again.
TEST_F(PlanMemoryTest, OnTheHostWeightsMayBeLargerThanMemory) {
  MemoryPlanArgs args = Args(CacheBytes{7 * block_bytes_});
  args.weight_bytes = args.available_bytes + 1;
  EXPECT_EQ(NumBlocks(args), 7);
  args.memory = std::nullopt;
  ExpectRefused(args, "no block");
}

}  // namespace
}  // namespace hadal
