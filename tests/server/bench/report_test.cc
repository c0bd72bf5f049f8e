#include "server/bench/report.h"

#include <numeric>

#include <boost/json/serialize.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hadal {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using testing::HasSubstr;

TimePoint At(int64_t time_ms) {
  return TimePoint(milliseconds(time_ms));
}

// Arrives at 0, 100, … ms: tokens after 30, 40 and 60 ms, the end with the last.
std::vector<RequestRecord> SomeRecords(int64_t count) {
  std::vector<RequestRecord> records;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t start = 100 * i;
    records.push_back({.num_prompt_tokens = 200,
                       .num_cached_tokens = 64,
                       .arrival = At(start),
                       .admitted = At(start + 10),
                       .tokens = {At(start + 30), At(start + 40), At(start + 60)},
                       .end = At(start + 60),
                       .reason = FinishReason::kLength});
  }
  return records;
}

StepTotals SomeSteps() {
  StepTotals totals;
  StepReport step{.plan_time = microseconds(10),
                  .forward_time = microseconds(600),
                  .sample_time = microseconds(200),
                  .apply_time = microseconds(40),
                  .step_time = microseconds(1000),
                  .num_tokens = 30,
                  .num_sequences = 3,
                  .failed = false,
                  .counts = {}};
  totals.Add(step);
  step.num_tokens = 10;
  step.num_sequences = 4;
  step.counts.total_preemptions = 2;
  totals.Add(step);
  return totals;
}

TEST(DistributionTest, PercentilesAreTheNearestRanks) {
  std::vector<double> numbers(100);
  std::iota(numbers.rbegin(), numbers.rend(), 1.0);
  const Distribution hundred = Distribute(numbers);
  EXPECT_EQ(hundred.count, 100);
  EXPECT_EQ(hundred.mean, 50.5);
  EXPECT_EQ(hundred.p50, 50);
  EXPECT_EQ(hundred.p90, 90);
  EXPECT_EQ(hundred.p99, 99);
  EXPECT_EQ(hundred.max, 100);
  numbers.push_back(101);  // 50.5, 90.9 and 99.99 numbers: one more each
  const Distribution more = Distribute(numbers);
  EXPECT_EQ(more.p50, 51);
  EXPECT_EQ(more.p90, 91);
  EXPECT_EQ(more.p99, 100);
}

TEST(DistributionTest, OfFewNumbersAndNone) {
  const Distribution one = Distribute({7});
  EXPECT_EQ(one.p50, 7);
  EXPECT_EQ(one.p99, 7);
  const Distribution two = Distribute({8, 4});
  EXPECT_EQ(two.p50, 4);
  EXPECT_EQ(two.p90, 8);
  EXPECT_EQ(Distribute({}).count, 0);
}

TEST(BenchReportTest, RatesCountCompletedRequestsOverTheWallTime) {
  const BenchReport report = MakeBenchReport(SomeRecords(5), SomeSteps(), At(-40));
  EXPECT_EQ(report.num_completed, 5);
  EXPECT_EQ(report.num_failed, 0);
  EXPECT_DOUBLE_EQ(report.wall_time_s, 0.5);  // from -40 to 460 ms
  EXPECT_DOUBLE_EQ(report.PerSecond(report.num_completed), 10);
  EXPECT_DOUBLE_EQ(report.PerSecond(report.num_prompt_tokens), 2000);
  EXPECT_DOUBLE_EQ(report.PerSecond(report.num_output_tokens), 30);
  EXPECT_EQ(report.num_cached_tokens, 320);
}

TEST(BenchReportTest, LatenciesCountFromArrival) {
  const BenchReport report = MakeBenchReport(SomeRecords(5), SomeSteps(), At(0));
  EXPECT_DOUBLE_EQ(report.queue_time_ms.p50, 10);
  EXPECT_DOUBLE_EQ(report.ttft_ms.mean, 30);
  EXPECT_EQ(report.inter_token_latency_ms.count, 10);
  EXPECT_DOUBLE_EQ(report.inter_token_latency_ms.mean, 15);
  EXPECT_DOUBLE_EQ(report.inter_token_latency_ms.p50, 10);
  EXPECT_DOUBLE_EQ(report.inter_token_latency_ms.max, 20);
  EXPECT_DOUBLE_EQ(report.e2e_latency_ms.p99, 60);
}

TEST(BenchReportTest, FailedRequestsCountAsSuchAlone) {
  std::vector<RequestRecord> records = SomeRecords(2);
  records[1].reason = FinishReason::kFailed;
  records[1].tokens.clear();
  const BenchReport report = MakeBenchReport(records, SomeSteps(), At(0));
  EXPECT_EQ(report.num_completed, 1);
  EXPECT_EQ(report.num_failed, 1);
  EXPECT_EQ(report.num_output_tokens, 3);
  EXPECT_EQ(report.ttft_ms.count, 1);
  EXPECT_DOUBLE_EQ(report.wall_time_s, 0.16);  // until the failed one ended
}

TEST(BenchReportTest, JsonHasTheNumbers) {
  BenchReport report = MakeBenchReport(SomeRecords(5), SomeSteps(), At(-40));
  report.configuration = {{"seed", 1}};
  const boost::json::object json = ToJson(report);
  EXPECT_EQ(json.at("num_completed").as_int64(), 5);
  EXPECT_DOUBLE_EQ(json.at("output_tokens_per_second").as_double(), 30);
  EXPECT_DOUBLE_EQ(json.at("ttft_ms").at("p90").as_double(), 30);
  EXPECT_EQ(json.at("cache").at("hit_tokens").as_int64(), 320);
  EXPECT_DOUBLE_EQ(json.at("cache").at("hit_share").as_double(), 0.32);
  EXPECT_EQ(json.at("preemptions").as_int64(), 2);
  EXPECT_EQ(json.at("num_steps").as_int64(), 2);
  EXPECT_DOUBLE_EQ(json.at("mean_step_tokens").as_double(), 20);
  EXPECT_DOUBLE_EQ(json.at("mean_step_sequences").as_double(), 3.5);
  EXPECT_DOUBLE_EQ(json.at("step_time_us").at("forward").as_double(), 600);
  EXPECT_DOUBLE_EQ(json.at("step_time_us").at("other").as_double(), 150);
  EXPECT_DOUBLE_EQ(json.at("step_time_us").at("total").as_double(), 1000);
  EXPECT_DOUBLE_EQ(json.at("step_time_share").at("sample").as_double(), 0.2);
  EXPECT_EQ(json.at("configuration").at("seed").as_int64(), 1);
}

TEST(WidestDecodeTest, CountsStepsOfOneTokenForEachOfTheMostSequences) {
  const auto step = [](int64_t num_tokens, int64_t num_sequences, int64_t time_us) {
    StepReport report;
    report.num_tokens = num_tokens;
    report.num_sequences = num_sequences;
    report.step_time = microseconds(time_us);
    return report;
  };
  WidestDecode decode;
  decode.Add(step(0, 0, 50'000));     // nothing ran
  decode.Add(step(300, 3, 900'000));  // prompts
  EXPECT_EQ(decode.num_steps, 0);
  EXPECT_EQ(decode.TokensPerSecond(), 0);
  decode.Add(step(2, 2, 10'000));
  decode.Add(step(4, 4, 30'000));
  decode.Add(step(5, 4, 70'000));  // a draft beside them
  decode.Add(step(4, 4, 50'000));
  decode.Add(step(3, 3, 1000));  // one has ended
  StepReport failed = step(4, 4, 1);
  failed.failed = true;
  decode.Add(failed);
  EXPECT_EQ(decode.num_sequences, 4);
  EXPECT_EQ(decode.num_steps, 2);
  EXPECT_DOUBLE_EQ(decode.TokensPerSecond(), 100);
}

TEST(BenchReportTest, TheWidestDecodeStepsAreReported) {
  StepTotals steps;
  const BenchReport without = MakeBenchReport(SomeRecords(1), steps, At(0));
  EXPECT_TRUE(ToJson(without).at("widest_decode").is_null());
  EXPECT_THAT(Describe(without), testing::Not(HasSubstr("widest")));
  StepReport step;
  step.num_tokens = step.num_sequences = 8;
  step.step_time = milliseconds(20);
  steps.Add(step);
  const BenchReport with = MakeBenchReport(SomeRecords(1), steps, At(0));
  const boost::json::value json = ToJson(with).at("widest_decode");
  EXPECT_EQ(json.at("num_sequences").as_int64(), 8);
  EXPECT_EQ(json.at("num_steps").as_int64(), 1);
  EXPECT_DOUBLE_EQ(json.at("tokens_per_second").as_double(), 400);
  EXPECT_THAT(Describe(with), HasSubstr("1 of 8 sequences, a token each: 400.0 tokens/s"));
}

TEST(BenchReportTest, StatisticsOfNothingAreNullAndDashes) {
  std::vector<RequestRecord> records = SomeRecords(1);
  records[0].tokens.resize(1);  // no gap between tokens
  const BenchReport report = MakeBenchReport(records, StepTotals{}, At(0));
  EXPECT_TRUE(ToJson(report).at("inter_token_latency_ms").is_null());
  EXPECT_EQ(ToJson(report).at("step_time_us").at("total").as_double(), 0);
  EXPECT_THAT(Describe(report),
              HasSubstr("inter-token                     -          -          -"));
}

TEST(BenchReportTest, TextHasTheNumbers) {
  const std::string text = Describe(MakeBenchReport(SomeRecords(5), SomeSteps(), At(-40)));
  for (const char* const expected :
       {"5 completed, 0 failed, in 0.500 s",
        "output tokens/s       30.0\n",
        "time to first token        30.000     30.000     30.000     30.000     30.000\n",
        "320 of 1000 prompt tokens found (32.0 %)",
        "2; on average 20.0 tokens of 3.5 sequences",
        "forward                     600.0     60.0 %\n"}) {
    EXPECT_THAT(text, HasSubstr(expected));
  }
}

}  // namespace
}  // namespace hadal
