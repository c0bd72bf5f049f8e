#include "server/bench/driver.h"

#include <algorithm>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"

namespace hadal {
namespace {

constexpr int64_t kVocabSize = 100;

// Steps take no time and always choose token 1.
class InstantExecutor final : public Executor {
 public:
  void Submit(const StepInput& input) override {
    input_ = &input;
    most_sequences_ = std::max(most_sequences_, input.batch.num_sequences());
  }

  absl::Status Wait(StepOutput& output) override {
    output.health.assign(static_cast<size_t>(input_->batch.num_sequences()), health);
    output.samples.assign(input_->samples.size(),
                          SampledToken{.token = 1, .logprob = 0, .top_logprobs = {}});
    output.forward_time = std::chrono::microseconds(3);
    output.sample_time = std::chrono::microseconds(2);
    return status;
  }

  [[nodiscard]] int64_t most_sequences() const { return most_sequences_; }

  absl::Status status;
  RowHealth health = RowHealth::kFinite;

 private:
  const StepInput* input_ = nullptr;
  int64_t most_sequences_ = 0;
};

Workload::Args SomeArgs(int64_t num_requests) {
  return {.lengths = std::vector<RequestLength>(static_cast<size_t>(num_requests),
                                                {.prompt_tokens = 200, .output_tokens = 5}),
          .vocab_size = kVocabSize,
          .shared_prefix = 0,
          .temperature = 0,
          .rate = std::nullopt,
          .seed = 1};
}

class DriveTest : public testing::Test {
 protected:
  DriveTest() {
    limits_.vocab_size = kVocabSize;
    limits_.max_running_sequences = 8;
    limits_.max_sequence_tokens = 256;
    limits_.num_blocks = 64;
  }

  absl::StatusOr<BenchReport> Run(Workload::Args args, std::optional<int64_t> concurrency) {
    const Workload workload(std::move(args));
    return Drive({.limits = limits_,
                  .executor = executor_,
                  .clock = clock_,
                  .workload = workload,
                  .concurrency = concurrency});
  }

  Limits limits_;
  InstantExecutor executor_;
  SteadyClock clock_;
};

TEST_F(DriveTest, ClosedLoadKeepsSoManyRequestsInFlight) {
  const absl::StatusOr<BenchReport> report = Run(SomeArgs(40), 3);
  ASSERT_EQ(report.status(), absl::OkStatus());
  EXPECT_EQ(report->num_completed, 40);
  EXPECT_EQ(report->num_failed, 0);
  EXPECT_EQ(report->num_prompt_tokens, 40 * 200);
  EXPECT_EQ(report->num_output_tokens, 40 * 5);
  EXPECT_EQ(report->queue_time_ms.count, 40);
  EXPECT_EQ(report->ttft_ms.count, 40);
  EXPECT_EQ(report->inter_token_latency_ms.count, 40 * 4);
  EXPECT_LE(executor_.most_sequences(), 3);
  EXPECT_GT(report->wall_time_s, 0);
  EXPECT_GE(report->e2e_latency_ms.mean, report->ttft_ms.mean);
  EXPECT_GE(report->ttft_ms.mean, report->queue_time_ms.mean);
}

TEST_F(DriveTest, EveryStepIsCounted) {
  const absl::StatusOr<BenchReport> report = Run(SomeArgs(4), 1);
  ASSERT_EQ(report.status(), absl::OkStatus());
  // The prompt and five tokens, of which the last is not computed.
  EXPECT_EQ(report->steps.num_tokens, 4 * 204);
  EXPECT_EQ(report->steps.num_sequences, report->steps.num_steps);
  EXPECT_EQ(report->steps.forward, report->steps.num_steps * std::chrono::microseconds(3));
  EXPECT_EQ(report->steps.sample, report->steps.num_steps * std::chrono::microseconds(2));
}

TEST_F(DriveTest, OpenLoadEndsWhenAllHaveArrivedAndEnded) {
  Workload::Args args = SomeArgs(50);
  args.rate = 5000;
  const absl::StatusOr<BenchReport> report = Run(args, std::nullopt);
  ASSERT_EQ(report.status(), absl::OkStatus());
  EXPECT_EQ(report->num_completed, 50);
  EXPECT_GE(report->wall_time_s,
            std::chrono::duration<double>(Workload(args).ArrivalOf(49)).count());
}

TEST_F(DriveTest, TheSharedPrefixIsFoundInTheCache) {
  Workload::Args args = SomeArgs(10);
  args.shared_prefix = 0.7;  // 140 tokens: two blocks
  const absl::StatusOr<BenchReport> report = Run(args, 1);
  ASSERT_EQ(report.status(), absl::OkStatus());
  EXPECT_EQ(report->num_cached_tokens, 9 * 128);
  const absl::StatusOr<BenchReport> nothing_shared = Run(SomeArgs(10), 1);
  ASSERT_EQ(nothing_shared.status(), absl::OkStatus());
  EXPECT_EQ(nothing_shared->num_cached_tokens, 0);
}

TEST_F(DriveTest, RequestsThatFailAreCounted) {
  executor_.health = RowHealth::kNotFinite;
  const absl::StatusOr<BenchReport> report = Run(SomeArgs(6), 2);
  ASSERT_EQ(report.status(), absl::OkStatus());
  EXPECT_EQ(report->num_completed, 0);
  EXPECT_EQ(report->num_failed, 6);
  SetLogLevel(LogLevel::kError);  // steps that fail are logged
  executor_.health = RowHealth::kFinite;
  executor_.status = Internal("broken");
  const absl::StatusOr<BenchReport> broken = Run(SomeArgs(6), 2);
  ASSERT_EQ(broken.status(), absl::OkStatus());
  EXPECT_EQ(broken->num_failed, 6);
}

TEST_F(DriveTest, RequestsThatCanNeverRunAreErrors) {
  limits_.max_sequence_tokens = 204;
  EXPECT_EQ(Run(SomeArgs(6), 2).status().code(), absl::StatusCode::kInvalidArgument);
  limits_.max_running_sequences = 0;
  EXPECT_EQ(Run(SomeArgs(6), 2).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace hadal
