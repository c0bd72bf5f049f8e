#include "engine/simulated_executor.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <tuple>
#include <utility>

#include <gtest/gtest.h>

namespace hadal {
namespace {

constexpr int32_t kVocabSize = 1000;
constexpr TokenId kPoison = 1000;

// One sequence of a step: its tokens from num_computed on, in these blocks.
struct Part {
  std::vector<TokenId> tokens;
  int64_t num_computed = 0;
  std::vector<int32_t> blocks;
};

std::vector<TokenId> CountUp(TokenId first, int64_t num_tokens) {
  std::vector<TokenId> tokens(num_tokens);
  for (int64_t i = 0; i < num_tokens; ++i) {
    tokens[i] = static_cast<TokenId>((first + i) % kVocabSize);
  }
  return tokens;
}

class SimulatedExecutorTest : public testing::Test {
 protected:
  void Make(const SimulatedExecutor::Cost& cost, const SimulatedExecutor::Faults& faults) {
    executor_ =
        std::make_unique<SimulatedExecutor>(SimulatedExecutor::Args{.clock = clock_,
                                                                    .num_blocks = 16,
                                                                    .vocab_size = kVocabSize,
                                                                    .cost = cost,
                                                                    .faults = faults});
  }

  void SetUp() override { Make({}, {.poison_token = kPoison}); }

  // Every part is sampled from.
  void Build(const std::vector<Part>& parts) {
    parts_ = parts;
    input_ = StepInput{};
    ForwardBatch& batch = input_.batch;
    batch.query_starts = {0};
    for (const Part& part : parts_) {
      batch.max_blocks = std::max(batch.max_blocks, std::ssize(part.blocks));
    }
    for (const Part& part : parts_) {
      for (int64_t i = part.num_computed; i < std::ssize(part.tokens); ++i) {
        batch.token_ids.push_back(part.tokens[i]);
        batch.positions.push_back(static_cast<int32_t>(i));
        batch.slots.push_back(part.blocks[i / kBlockSize] * kBlockSize + i % kBlockSize);
      }
      batch.query_starts.push_back(static_cast<int32_t>(batch.num_tokens()));
      std::vector<int32_t> table = part.blocks;
      table.resize(batch.max_blocks, 0);
      batch.block_tables.insert(batch.block_tables.end(), table.begin(), table.end());
      input_.samples.push_back({.row = static_cast<int32_t>(batch.num_tokens() - 1),
                                .sequence = static_cast<int32_t>(batch.num_sequences() - 1),
                                .params = &params_,
                                .tokens = part.tokens,
                                .num_prompt_tokens = 1});
    }
  }

  absl::Status Run() {
    executor_->Submit(input_);
    return executor_->Wait(output_);
  }

  absl::Status Run(const std::vector<Part>& parts) {
    Build(parts);
    return Run();
  }

  VirtualClock clock_;
  std::unique_ptr<SimulatedExecutor> executor_;
  SamplingParams params_;
  std::vector<Part> parts_;
  StepInput input_;
  StepOutput output_;
};

using SimulatedExecutorDeathTest = SimulatedExecutorTest;

TEST_F(SimulatedExecutorTest, ATokenDependsOnItsSequenceAlone) {
  const std::vector<TokenId> tokens = CountUp(0, 100);
  const TokenId expected = SimulatedExecutor::NextToken(tokens, params_, kVocabSize);
  EXPECT_TRUE(expected >= 0 && expected < kVocabSize);

  ASSERT_TRUE(Run({{tokens, 0, {3, 7}}}).ok());
  EXPECT_EQ(output_.samples[0].token, expected);

  // In chunks, beside another sequence, in other blocks.
  std::vector<TokenId> begin(tokens.begin(), tokens.begin() + 70);
  ASSERT_TRUE(Run({{begin, 0, {1, 2}}, {CountUp(500, 10), 0, {4}}}).ok());
  ASSERT_TRUE(Run({{CountUp(500, 11), 10, {4}}, {tokens, 70, {1, 2}}}).ok());
  EXPECT_EQ(output_.samples[1].token, expected);
  EXPECT_EQ(output_.samples[0].token,
            SimulatedExecutor::NextToken(CountUp(500, 11), params_, kVocabSize));
}

TEST_F(SimulatedExecutorTest, SeedAndTemperatureChooseTheToken) {
  const std::vector<TokenId> tokens = CountUp(0, 10);
  SamplingParams other = params_;
  other.seed = 1;
  EXPECT_NE(SimulatedExecutor::NextToken(tokens, params_, 1 << 30),
            SimulatedExecutor::NextToken(tokens, other, 1 << 30));
  params_.temperature = 0;
  EXPECT_NE(SimulatedExecutor::NextToken(tokens, params_, 1 << 30),
            SimulatedExecutor::NextToken(tokens, other, 1 << 30));
  other.temperature = 0;
  EXPECT_EQ(SimulatedExecutor::NextToken(tokens, params_, 1 << 30),
            SimulatedExecutor::NextToken(tokens, other, 1 << 30));
}

TEST_F(SimulatedExecutorTest, LogprobsComeWhenAskedFor) {
  params_.num_logprobs = 3;
  ASSERT_TRUE(Run({{CountUp(0, 5), 0, {0}}}).ok());
  const SampledToken& sampled = output_.samples[0];
  ASSERT_EQ(sampled.top_logprobs.size(), 3U);
  EXPECT_EQ(sampled.top_logprobs[0].token, sampled.token);
  EXPECT_EQ(sampled.top_logprobs[0].logprob, sampled.logprob);
  EXPECT_LT(sampled.top_logprobs[1].logprob, sampled.logprob);
  EXPECT_LE(sampled.logprob, 0);
}

TEST_F(SimulatedExecutorTest, AStepCostsWhatItsTokensReadAndTheClockSaysSo) {
  Make({.fixed_us = 1000, .per_token_us = 10, .per_context_token_us = 1, .per_sample_us = 5}, {});
  const TimePoint begin = clock_.Now();
  ASSERT_TRUE(Run({{CountUp(0, 4), 0, {0}}, {CountUp(0, 2), 0, {1}}}).ok());
  // 6 tokens; contexts 1 + 2 + 3 + 4 and 1 + 2; 2 samples.
  EXPECT_EQ(output_.forward_time, std::chrono::microseconds(1000 + 60 + 13));
  EXPECT_EQ(output_.sample_time, std::chrono::microseconds(10));
  EXPECT_EQ(clock_.Now() - begin, output_.forward_time + output_.sample_time);
  ASSERT_TRUE(Run({{CountUp(0, 5), 4, {0}}}).ok());
  EXPECT_EQ(output_.forward_time, std::chrono::microseconds(1000 + 10 + 5));
}

TEST_F(SimulatedExecutorTest, AStepFailsOnDemandAndOnlyThatOne) {
  executor_->FailStep(1);
  EXPECT_TRUE(Run({{CountUp(0, 5), 0, {0}}}).ok());
  EXPECT_EQ(Run({{CountUp(0, 6), 5, {0}}}).code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(Run({{CountUp(0, 6), 5, {0}}}).ok());  // the rows before the failed ones are good
  EXPECT_EQ(executor_->num_steps(), 3);
}

TEST_F(SimulatedExecutorTest, PoisonSpoilsItsOwnSequenceOnly) {
  ASSERT_TRUE(Run({{CountUp(0, 5), 0, {0}}, {{1, kPoison, 2}, 0, {1}}}).ok());
  EXPECT_EQ(output_.health[0], RowHealth::kFinite);
  EXPECT_EQ(output_.health[1], RowHealth::kNotFinite);
  ASSERT_TRUE(Run({{CountUp(0, 6), 5, {0}}}).ok());
}

TEST_F(SimulatedExecutorTest, FaultsComeAsOftenAsAskedForAndAgain) {
  constexpr int64_t kNumSteps = 2000;
  const SimulatedExecutor::Faults faults = {
      .seed = 5, .step_failure = 0.1, .slow_step = 0.2, .slow_factor = 3, .not_finite = 0.3};
  std::vector<std::vector<int64_t>> runs;
  for (int32_t run = 0; run < 2; ++run) {
    Make({.fixed_us = 100, .per_token_us = 0, .per_context_token_us = 0, .per_sample_us = 0},
         faults);
    int64_t num_failed = 0;
    int64_t num_slow = 0;
    int64_t num_not_finite = 0;
    for (int64_t step = 0; step < kNumSteps; ++step) {
      num_failed += Run({{{1}, 0, {0}}}).ok() ? 0 : 1;
      num_slow += output_.forward_time == std::chrono::microseconds(300) ? 1 : 0;
      num_not_finite += output_.health[0] == RowHealth::kNotFinite ? 1 : 0;
    }
    EXPECT_NEAR(static_cast<double>(num_failed) / kNumSteps, 0.1, 0.03);
    EXPECT_NEAR(static_cast<double>(num_slow) / kNumSteps, 0.2, 0.03);
    EXPECT_NEAR(static_cast<double>(num_not_finite) / kNumSteps, 0.3, 0.03);
    runs.push_back({num_failed, num_slow, num_not_finite});
  }
  EXPECT_EQ(runs[0], runs[1]);
}

TEST_F(SimulatedExecutorTest, ASharedPrefixIsReadAndACopiedBlockIsWritten) {
  const std::vector<TokenId> tokens = CountUp(0, 70);
  ASSERT_TRUE(Run({{tokens, 0, {0, 1}}}).ok());
  std::vector<TokenId> fork = tokens;
  fork.push_back(999);
  Build({{CountUp(0, 71), 70, {0, 1}}, {fork, 70, {0, 2}}});
  input_.copies = {{1, 2}};
  ASSERT_TRUE(Run().ok());
  EXPECT_EQ(output_.samples[1].token, SimulatedExecutor::NextToken(fork, params_, kVocabSize));
  // Copies go in order: 3 gets what 2 has by then.
  fork.push_back(998);
  Build({{fork, 71, {0, 3}}});
  input_.copies = {{0, 4}, {2, 3}};
  ASSERT_TRUE(Run().ok());
}

TEST_F(SimulatedExecutorTest, ABlockMayBeUsedAgainFromItsBeginning) {
  ASSERT_TRUE(Run({{CountUp(0, 64), 0, {0}}}).ok());
  ASSERT_TRUE(Run({{CountUp(100, 3), 0, {0}}}).ok());
  ASSERT_TRUE(Run({{CountUp(100, 4), 3, {0}}}).ok());
}

TEST_F(SimulatedExecutorDeathTest, PositionsThatWereNeverComputed) {
  Build({{CountUp(0, 5), 4, {0}}});
  EXPECT_DEATH(std::ignore = Run(), "num_rows_needed");
}

TEST_F(SimulatedExecutorDeathTest, RowsOfAnEarlierUser) {
  ASSERT_TRUE(Run({{CountUp(0, 64), 0, {0}}}).ok());
  ASSERT_TRUE(Run({{CountUp(100, 3), 0, {0}}}).ok());
  Build({{CountUp(100, 12), 11, {0}}});
  EXPECT_DEATH(std::ignore = Run(), "num_rows_needed");
}

TEST_F(SimulatedExecutorDeathTest, ABlockOfAnotherSequence) {
  ASSERT_TRUE(Run({{CountUp(0, 5), 0, {0}}, {CountUp(100, 5), 0, {1}}}).ok());
  Build({{CountUp(0, 6), 5, {1}}});
  EXPECT_DEATH(std::ignore = Run(), "HashOf");
}

TEST_F(SimulatedExecutorDeathTest, ABlockBehindAnotherPrefix) {
  ASSERT_TRUE(Run({{CountUp(0, 128), 0, {0, 1}}, {CountUp(100, 128), 0, {2, 3}}}).ok());
  Build({{CountUp(0, 129), 128, {0, 3, 4}}});
  EXPECT_DEATH(std::ignore = Run(), "parent");
}

TEST_F(SimulatedExecutorDeathTest, ASharedBlockThatItsOwnerWroteTo) {
  ASSERT_TRUE(Run({{CountUp(0, 70), 0, {0, 1}}}).ok());
  std::vector<TokenId> fork = CountUp(0, 70);
  fork[65] = 999;
  ASSERT_TRUE(Run({{fork, 65, {0, 1}}}).ok());
  Build({{CountUp(0, 71), 70, {0, 1}}});
  EXPECT_DEATH(std::ignore = Run(), "HashOf");
}

TEST_F(SimulatedExecutorDeathTest, ASharedBlockThatIsWrittenInTheSameStep) {
  ASSERT_TRUE(Run({{CountUp(0, 70), 0, {0, 1}}}).ok());
  std::vector<TokenId> fork = CountUp(0, 67);
  fork[66] = 999;
  Build({{CountUp(0, 71), 70, {0, 1}}, {fork, 66, {0, 1}}});
  EXPECT_DEATH(std::ignore = Run(), "num_rows");
  Build({{fork, 66, {0, 1}}, {CountUp(0, 71), 70, {0, 1}}});
  EXPECT_DEATH(std::ignore = Run(), "num_rows");
}

TEST_F(SimulatedExecutorDeathTest, APositionThatTheSameStepComputesForAnother) {
  Build({{CountUp(0, 64), 0, {0}}, {CountUp(0, 65), 64, {0, 1}}});
  EXPECT_DEATH(std::ignore = Run(), "num_rows_needed");
  ASSERT_TRUE(Run({{CountUp(0, 64), 0, {0}}}).ok());
  Build({{CountUp(0, 64), 63, {0}}, {CountUp(0, 65), 64, {0, 1}}});
  EXPECT_DEATH(std::ignore = Run(), "written_in_");
}

TEST_F(SimulatedExecutorDeathTest, TwoSequencesThatWriteToOneSlot) {
  Build({{CountUp(0, 3), 0, {0}}, {CountUp(0, 3), 0, {0}}});
  EXPECT_DEATH(std::ignore = Run(), "written_in_");
}

TEST_F(SimulatedExecutorDeathTest, ASlotThatIsNotOfTheBlockTable) {
  Build({{CountUp(0, 3), 0, {0}}});
  input_.batch.slots[1] += kBlockSize;
  EXPECT_DEATH(std::ignore = Run(), "slots");
  Build({{CountUp(0, 65), 0, {0, 1}}});
  input_.batch.block_tables[1] = 16;
  EXPECT_DEATH(std::ignore = Run(), "block < std::ssize");
}

TEST_F(SimulatedExecutorDeathTest, ACopyThatIsMissing) {
  ASSERT_TRUE(Run({{CountUp(0, 70), 0, {0, 1}}}).ok());
  Build({{CountUp(0, 71), 70, {0, 2}}});
  EXPECT_DEATH(std::ignore = Run(), "num_rows_needed");
}

TEST_F(SimulatedExecutorDeathTest, RowsOfAStepThatFailed) {
  executor_->FailStep(0);
  ASSERT_FALSE(Run({{CountUp(0, 5), 0, {0}}}).ok());
  Build({{CountUp(0, 6), 5, {0}}});
  EXPECT_DEATH(std::ignore = Run(), "num_rows_needed");
}

TEST_F(SimulatedExecutorDeathTest, RowsThatAreNotFinite) {
  ASSERT_TRUE(Run({{{1, kPoison, 2}, 0, {1}}}).ok());
  Build({{{1, kPoison, 2, 3}, 3, {1}}});
  EXPECT_DEATH(std::ignore = Run(), "num_rows_needed");
}

TEST_F(SimulatedExecutorDeathTest, SampledRowsThatAreNotTheirSequences) {
  Build({{CountUp(0, 5), 0, {0}}});
  input_.samples[0].tokens = input_.samples[0].tokens.first(4);
  EXPECT_DEATH(std::ignore = Run(), "sample.tokens");
  std::vector<TokenId> other = CountUp(0, 5);
  other[1] = 77;
  Build({{CountUp(0, 5), 0, {0}}});
  input_.samples[0].tokens = other;
  EXPECT_DEATH(std::ignore = Run(), "HashOf");
}

TEST_F(SimulatedExecutorDeathTest, StepsComeOneByOne) {
  Build({{CountUp(0, 5), 0, {0}}});
  EXPECT_DEATH(std::ignore = executor_->Wait(output_), "input_");
  executor_->Submit(input_);
  EXPECT_DEATH(executor_->Submit(input_), "input_");
}

TEST_F(SimulatedExecutorTest, StatsCountTheContext) {
  Build({{.tokens = CountUp(0, 3), .num_computed = 0, .blocks = {0}},
         {.tokens = CountUp(0, 2), .num_computed = 0, .blocks = {1}}});
  executor_->Submit(input_);
  StepOutput output;
  ASSERT_TRUE(executor_->Wait(output).ok());
  EXPECT_EQ(output.stats.context_tokens, 5);
  EXPECT_EQ(output.stats.attended_tokens, (1 + 2 + 3) + (1 + 2));
  EXPECT_EQ(output.stats.flops, 0);
  EXPECT_TRUE(output.stats.expert_tokens.empty());
}

}  // namespace
}  // namespace hadal
