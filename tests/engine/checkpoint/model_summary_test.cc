#include "engine/checkpoint/model_summary.h"

#include <algorithm>
#include <cmath>
#include <ostream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/checkpoint_writer.h"
#include "tests/support/published_config.h"

namespace hadal {
namespace {

using testing::HasSubstr;

int64_t InMillions(int64_t count) {
  return std::llround(static_cast<double>(count) / 1e6);
}

struct PublishedNumbers {
  const char* name;
  int64_t total, active, without_embedding, without_tables;  // parameters, in millions
  int64_t num_dense_layers, num_moe_layers;
  int64_t cache_bytes;  // per token, bf16

  // How the test is listed.
  friend void PrintTo(const PublishedNumbers& param, std::ostream* out) { *out << param.name; }
};

class PublishedModelTest : public testing::TestWithParam<PublishedNumbers> {};

TEST_P(PublishedModelTest, ParametersLayersAndCacheMatch) {
  const PublishedNumbers& numbers = GetParam();
  const ModelConfig config = ReadPublishedConfig(numbers.name);
  const ModelSummary summary = SummarizeModel(config);
  EXPECT_EQ(InMillions(summary.parameters.total), numbers.total);
  EXPECT_EQ(InMillions(summary.parameters.active), numbers.active);
  EXPECT_EQ(InMillions(summary.parameters.active_without_embedding), numbers.without_embedding);
  EXPECT_EQ(InMillions(summary.parameters.active_without_tables), numbers.without_tables);
  EXPECT_EQ(summary.num_dense_layers, numbers.num_dense_layers);
  EXPECT_EQ(summary.num_moe_layers, numbers.num_moe_layers);
  EXPECT_EQ(CacheBytesPerToken(config, DType::kBf16), numbers.cache_bytes);
}

INSTANTIATE_TEST_SUITE_P(
    Published,
    PublishedModelTest,
    testing::Values(PublishedNumbers{"deepseek-v2-lite", 15706, 2661, 2451, 2242, 1, 26, 31'104},
                    PublishedNumbers{"deepseek-v2", 235'741, 21'376, 20'852, 20'327, 1, 59, 69'120},
                    PublishedNumbers{"deepseek-v3", 671'026, 37'552, 36'626, 35'699, 3, 58, 70'272},
                    PublishedNumbers{"kimi-k2", 1'026'408, 32'862, 31'687, 30'513, 1, 60, 70'272},
                    PublishedNumbers{"moonlight-16b-a3b", 15'960, 2915, 2579, 2244, 1, 26, 31'104}),
    [](const auto& published) {
      std::string name = published.param.name;
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

TEST(ModelSummaryTest, V3HasAnMtpLayerOfItsOwn) {
  const ModelSummary summary = SummarizeModel(ReadPublishedConfig("deepseek-v3"));
  EXPECT_EQ(NameOf(summary.family), "DeepSeek-V3");
  EXPECT_EQ(summary.num_mtp_layers, 1);
  EXPECT_EQ(InMillions(summary.parameters.mtp), 11'610);
  EXPECT_EQ(SumBytes(summary.weights), 688'574'839'360 - 2 * 2 * 129'280LL * 7168);
}

TEST(ModelSummaryTest, CacheBytesFollowTheDType) {
  const ModelConfig config = ReadPublishedConfig("deepseek-v2-lite");
  EXPECT_EQ(CacheBytesPerToken(config, DType::kF32), 62'208);
  EXPECT_EQ(CacheBytesPerToken(config, DType::kFp8E4m3), 17'712);
}

TEST(ModelSummaryTest, ATiedHeadIsCountedOnceButWorksForEveryToken) {
  boost::json::object json = TinyConfig();
  const auto apart = ParseModelConfig(json);
  json["tie_word_embeddings"] = true;
  const auto tied = ParseModelConfig(json);
  ASSERT_TRUE(apart.ok() && tied.ok());
  const ParameterCounts a = SummarizeModel(*apart).parameters;
  const ParameterCounts b = SummarizeModel(*tied).parameters;
  EXPECT_EQ(a.total - b.total, 40 * 24);
  EXPECT_EQ(a.active - b.active, 40 * 24);
  EXPECT_EQ(a.active_without_embedding, b.active_without_embedding);
}

TEST(ModelSummaryTest, AModelWithoutExpertsIsAllActive) {
  boost::json::object json = TinyConfig();
  json["n_routed_experts"] = 0;
  const auto config = ParseModelConfig(json);
  ASSERT_TRUE(config.ok()) << config.status();
  const ModelSummary summary = SummarizeModel(*config);
  EXPECT_EQ(summary.num_dense_layers, 2);
  EXPECT_EQ(summary.num_moe_layers, 0);
  EXPECT_EQ(summary.parameters.total, summary.parameters.active);
}

TEST(ModelSummaryTest, StoredTotalsAreThoseOfTheFiles) {
  const std::string folder = WriteFolder(ToFiles(MakeTestCheckpoint(TinyConfig())));
  const auto checkpoint = Checkpoint::Open(folder);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const auto totals = StoredTotals(*checkpoint);
  EXPECT_EQ(totals, PublishedTotals(checkpoint->config(), TableCopies::kCounted));
  EXPECT_EQ(SumBytes(totals), checkpoint->total_bytes());
}

TEST(ModelSummaryTest, ReadsAvailableMemory) {
  const std::string folder =
      WriteFolder({{"good", "MemTotal:       100 kB\nMemAvailable:   64 kB\nCached: 1 kB\n"},
                   {"none", "MemTotal:       100 kB\n"},
                   {"bad", "MemAvailable: many\n"},
                   {"huge", "MemAvailable: 9223372036854775807 kB\n"},
                   {"bare", "MemAvailable:\n"}});
  EXPECT_EQ(*ReadAvailableMemory(folder + "/good"), 65'536);
  for (const char* name : {"/none", "/bad", "/huge", "/bare", "/absent"}) {
    const auto result = ReadAvailableMemory(folder + name);
    EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(std::string(MessageOf(result.status())), HasSubstr(name));
    EXPECT_THAT(std::string(MessageOf(result.status())), HasSubstr("MemAvailable"));
  }
  EXPECT_GT(*ReadAvailableMemory("/proc/meminfo"), 0);
}

}  // namespace
}  // namespace hadal
