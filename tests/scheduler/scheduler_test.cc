#include "scheduler/scheduler.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/api/forward_batch.h"
#include "tests/scheduler/scheduler_fixture.h"

namespace hadal::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;

class SchedulerTest : public SchedulerFixture {};

TEST_F(SchedulerTest, APromptIsCutIntoStepsAndContinued) {
  Start({.max_running_sequences = 8, .max_step_tokens = 40});
  Add(MakeRequest(1, 100, 3));
  EXPECT_THAT(Step(), ElementsAre(std::pair(1, 40)));
  EXPECT_THAT(Step(), ElementsAre(std::pair(1, 40)));
  EXPECT_TRUE(outcomes_[1].tokens[0].empty());
  EXPECT_THAT(Step(), ElementsAre(std::pair(1, 20)));
  EXPECT_THAT(Step(), ElementsAre(std::pair(1, 1)));
  EXPECT_THAT(Step(), ElementsAre(std::pair(1, 1)));
  EXPECT_THAT(outcomes_[1].tokens[0], ElementsAre(5, 5, 5));
  EXPECT_EQ(outcomes_[1].end, FinishReason::kLength);
  EXPECT_TRUE(scheduler_->idle());
}

TEST_F(SchedulerTest, TheBatchSaysWhereTokensGo) {
  Start({});
  Add(MakeRequest(1, 70, 2));
  BeginStep();
  ASSERT_EQ(input_.batch.num_tokens(), 70);
  ASSERT_EQ(input_.batch.max_blocks, 2);
  const std::vector<int32_t>& table = input_.batch.block_tables;
  EXPECT_EQ(input_.batch.positions[65], 65);
  EXPECT_EQ(input_.batch.slots[65], int64_t{table[1]} * kBlockSize + 1);
  EXPECT_EQ(input_.batch.token_ids[65], 1065);
  ASSERT_EQ(input_.samples.size(), 1U);
  EXPECT_EQ(input_.samples[0].row, 69);
  EXPECT_EQ(input_.samples[0].tokens.size(), 70U);
  EndStep(absl::OkStatus());
  BeginStep();
  EXPECT_THAT(input_.batch.positions, ElementsAre(70));
  EXPECT_THAT(input_.batch.token_ids, ElementsAre(5));
  EXPECT_EQ(input_.samples[0].tokens.size(), 71U);
  EXPECT_EQ(input_.samples[0].num_prompt_tokens, 70);
  EndStep(absl::OkStatus());
}

TEST_F(SchedulerTest, AStopTokenEndsASequence) {
  Start({});
  Request request = MakeRequest(1, 10, 100);
  request.stop_token_ids = {3, 5};
  Add(std::move(request));
  Finish();
  EXPECT_THAT(outcomes_[1].tokens[0], ElementsAre(5));
  EXPECT_EQ(outcomes_[1].end, FinishReason::kStop);
}

TEST_F(SchedulerTest, ChunksRideBesideThoseThatGenerateWithinTheBound) {
  Start({.max_running_sequences = 8,
         .max_step_tokens = 256,
         .min_chunk_tokens = 16,
         .target_step_time = milliseconds(10)});
  step_time_ = milliseconds(4);
  Add(MakeRequest(1, 10, 50));
  Step();
  Step();
  step_time_ = milliseconds(10);
  Add(MakeRequest(2, 200, 1));
  for (int i = 0; i < 12; ++i) {  // a chunk of the least size takes all the time that there is
    EXPECT_THAT(Step(), ElementsAre(std::pair(1, 1), std::pair(2, 16)));
  }
  EXPECT_THAT(Step(), ElementsAre(std::pair(1, 1), std::pair(2, 8)));
  EXPECT_EQ(outcomes_[2].end, FinishReason::kLength);
}

TEST_F(SchedulerTest, EverySequenceThatGeneratesGetsItsTokenFirst) {
  Start({.max_running_sequences = 4, .max_step_tokens = 64});
  for (int64_t id = 1; id <= 3; ++id) {
    Add(MakeRequest(id, 20, 10));
  }
  Step();
  Step();
  Add(MakeRequest(4, 64, 1));
  const Parts parts = Step();
  ASSERT_EQ(parts.size(), 4U);
  EXPECT_THAT(std::vector(parts.begin(), parts.begin() + 3),
              ElementsAre(std::pair(1, 1), std::pair(2, 1), std::pair(3, 1)));
}

TEST_F(SchedulerTest, EqualPromptsHitThePrefixCache) {
  Start({});
  Request first = MakeRequest(1, 200, 2);
  Request second = MakeRequest(2, 200, 2);
  second.prompt = first.prompt;
  second.prompt[150] = 7;
  Add(std::move(first));
  Finish();
  EXPECT_EQ(outcomes_[1].cache.cached_tokens, 0);
  EXPECT_EQ(outcomes_[1].cache.miss, CacheMiss::kNeverSeen);
  Add(std::move(second));
  EXPECT_THAT(Step(), ElementsAre(std::pair(2, 72)));
  EXPECT_EQ(outcomes_[2].cache.cached_tokens, 128);
  EXPECT_EQ(outcomes_[2].cache.miss, CacheMiss::kDiverged);
  EXPECT_EQ(outcomes_[2].cache.position, 150);
  EXPECT_EQ(scheduler_->counts().total_cached_tokens, 128);
  Finish();
}

TEST_F(SchedulerTest, TheLastTokenOfAPromptIsAlwaysComputed) {
  Start({});
  for (int64_t id = 1; id <= 2; ++id) {
    Request request = MakeRequest(id, 128, 1);
    request.prompt = Tokens(128, 0);
    Add(std::move(request));
    Finish();
  }
  EXPECT_EQ(outcomes_[2].cache.cached_tokens, 64);
  EXPECT_EQ(outcomes_[2].cache.miss, CacheMiss::kNone);
  EXPECT_EQ(outcomes_[2].end, FinishReason::kLength);
}

TEST_F(SchedulerTest, WhatWasGeneratedIsFoundAgainAsAPrompt) {
  Start({});
  Add(MakeRequest(1, 64, 65));
  Finish();
  Request next = MakeRequest(2, 64, 1);
  next.prompt = Tokens(64, 1000);
  next.prompt.insert(next.prompt.end(), 70, 5);
  Add(std::move(next));
  Finish();
  EXPECT_EQ(outcomes_[2].cache.cached_tokens, 128);
}

TEST_F(SchedulerTest, SequencesOfARequestShareThePromptAndPart) {
  Start({.num_blocks = 16});
  Request request = MakeRequest(1, 100, 4);
  request.num_sequences = 3;
  request.sampling.seed = 40;
  Add(std::move(request));
  EXPECT_THAT(Step(), ElementsAre(std::pair(1, 100)));
  ASSERT_EQ(input_.samples.size(), 3U);
  EXPECT_EQ(input_.samples[2].params->seed, 42U);
  EXPECT_EQ(scheduler_->counts().num_used_blocks, 2);
  EXPECT_THAT(Step(), ElementsAre(std::pair(1, 1), std::pair(1, 1), std::pair(1, 1)));
  EXPECT_EQ(scheduler_->counts().num_used_blocks, 4) << "the full block is shared";
  ASSERT_EQ(input_.copies.size(), 2U) << "the last one keeps the block they had in common";
  EXPECT_EQ(input_.copies[0].source, input_.copies[1].source);
  Finish();
  EXPECT_THAT(outcomes_[1].tokens, testing::Each(ElementsAre(5, 5, 5, 5)));
  EXPECT_EQ(outcomes_[1].sequence_ends.size(), 3U);
}

TEST_F(SchedulerTest, ShortOfBlocksTheLatestIsComputedAgain) {
  // Each needs three blocks in the end; five are there.
  Start({.num_blocks = 5, .watermark = 0});
  Add(MakeRequest(1, 120, 30));
  Add(MakeRequest(2, 120, 30));
  Finish();
  EXPECT_GE(scheduler_->counts().total_preemptions, 1);
  for (int64_t id = 1; id <= 2; ++id) {
    EXPECT_EQ(outcomes_[id].tokens[0].size(), 30U);
    EXPECT_EQ(outcomes_[id].end, FinishReason::kLength);
  }
}

// Both sequences write to the last block of the prompt, and there is none to copy it to: when one
// gives up, the other owns the block and goes on in place.
TEST_F(SchedulerTest, TheSequenceThatGoesFirstIsNeverPreempted) {
  Start({.num_blocks = 2, .watermark = 0});
  Request request = MakeRequest(1, 100, 20);
  request.num_sequences = 2;
  Add(std::move(request));
  Step();
  const StepPlan& plan = BeginStep();
  ASSERT_EQ(plan.parts.size(), 1U);
  EXPECT_EQ(plan.parts[0].sequence->index, 0);
  EXPECT_EQ(plan.parts[0].num_tokens, 1);
  EXPECT_TRUE(plan.copies.empty());
  EndStep(absl::OkStatus());
  EXPECT_EQ(scheduler_->counts().total_preemptions, 1);
  Finish();
  EXPECT_EQ(outcomes_[1].tokens[0].size(), 20U);
  EXPECT_EQ(outcomes_[1].tokens[1].size(), 20U);
}

TEST_F(SchedulerTest, OneLongPromptMayWaitAlone) {
  Start({.max_waiting_tokens = 100});
  Add(MakeRequest(1, 200, 1));
  EXPECT_EQ(scheduler_->Add(MakeLive(MakeRequest(2, 1, 1)), now_).code(),
            absl::StatusCode::kResourceExhausted);
  Finish();
  EXPECT_EQ(outcomes_[1].end, FinishReason::kLength);
}

TEST_F(SchedulerTest, ADeadlineLongAgoEndsARequestAtOnce) {
  Start({});
  Add(MakeRequest(1, 10, 2));
  Finish();  // the pace is known
  Request late = MakeRequest(2, 10, 2);
  late.deadline = TimePoint::min();
  Add(std::move(late));
  Finish();
  EXPECT_EQ(outcomes_[2].end, FinishReason::kDeadlineExceeded);
}

TEST_F(SchedulerTest, TheWatermarkKeepsRoomForThoseThatRun) {
  Start({.num_blocks = 10, .watermark = 0.3});
  Add(MakeRequest(1, 250, 30));  // four blocks, five later
  Add(MakeRequest(2, 200, 10));  // four more would leave two
  Step();
  EXPECT_TRUE(outcomes_[1].admitted);
  EXPECT_FALSE(outcomes_[2].admitted);
  Finish();
  EXPECT_EQ(scheduler_->counts().total_preemptions, 0);
  EXPECT_EQ(outcomes_[2].end, FinishReason::kLength);
}

TEST_F(SchedulerTest, CancelTakesEffectWithinAStep) {
  Start({});
  Add(MakeRequest(1, 10, 100));
  Add(MakeRequest(2, 10, 100));
  scheduler_->Cancel(RequestId{2});  // waiting: at once
  TakeEvents();
  EXPECT_EQ(outcomes_[2].end, FinishReason::kCancelled);
  Step();
  BeginStep();
  scheduler_->Cancel(RequestId{1});  // in a step: when it ends, and its token does not count
  scheduler_->Cancel(RequestId{1});
  scheduler_->Cancel(RequestId{99});
  EXPECT_FALSE(outcomes_[1].end.has_value());
  EndStep(absl::OkStatus());
  EXPECT_EQ(outcomes_[1].end, FinishReason::kCancelled);
  EXPECT_EQ(outcomes_[1].tokens[0].size(), 1U);
  EXPECT_TRUE(scheduler_->idle());
}

TEST_F(SchedulerTest, AStoppedSequenceEndsAloneAndItsBlocksAreFoundAgain) {
  Start({});
  Request request = MakeRequest(1, 63, 100);
  request.num_sequences = 2;
  Add(std::move(request));
  Step();
  BeginStep();
  scheduler_->StopSequence(RequestId{1},
                           0);  // in a step: when it ends, and its token does not count
  scheduler_->StopSequence(RequestId{1}, 0);
  scheduler_->StopSequence(RequestId{1}, 2);
  scheduler_->StopSequence(RequestId{1}, -1);
  scheduler_->StopSequence(RequestId{99}, 0);
  EXPECT_TRUE(outcomes_[1].sequence_ends.empty());
  EndStep(absl::OkStatus());
  EXPECT_THAT(outcomes_[1].sequence_ends, ElementsAre(FinishReason::kStop));
  EXPECT_EQ(outcomes_[1].tokens[0].size(), 1U);
  EXPECT_EQ(outcomes_[1].tokens[1].size(), 2U);
  EXPECT_FALSE(outcomes_[1].end.has_value());
  scheduler_->StopSequence(RequestId{1}, 0);  // ended already
  scheduler_->StopSequence(RequestId{1}, 1);  // between steps: at once
  TakeEvents();
  EXPECT_EQ(outcomes_[1].end, FinishReason::kStop);
  EXPECT_TRUE(scheduler_->idle());

  Request again = MakeRequest(2, 70, 1);
  again.prompt = Tokens(63, 1000);
  again.prompt.insert(again.prompt.end(), {5, 5});
  Add(std::move(again));
  Finish();
  EXPECT_EQ(outcomes_[2].cache.cached_tokens, 64) << "the step in which it stopped filled a block";
}

TEST_F(SchedulerTest, BeforeTheForkAStopWaitsForIt) {
  Start({.max_running_sequences = 8, .max_step_tokens = 60});
  Request request = MakeRequest(1, 100, 3);
  request.num_sequences = 3;
  Add(std::move(request));
  scheduler_->StopSequence(RequestId{1}, 2);  // waiting
  Step();
  scheduler_->StopSequence(RequestId{1}, 0);  // computes the prompt for all
  TakeEvents();
  EXPECT_TRUE(outcomes_[1].sequence_ends.empty());
  EXPECT_THAT(Step(), ElementsAre(std::pair(1, 40)));
  EXPECT_THAT(outcomes_[1].sequence_ends, ElementsAre(FinishReason::kStop, FinishReason::kStop));
  EXPECT_TRUE(outcomes_[1].tokens[0].empty());
  EXPECT_EQ(outcomes_[1].tokens[1].size(), 1U);
  EXPECT_TRUE(outcomes_[1].tokens[2].empty());
  Finish();
  EXPECT_EQ(outcomes_[1].end, FinishReason::kLength);
  EXPECT_EQ(outcomes_[1].tokens[1].size(), 3U);
}

TEST_F(SchedulerTest, ARequestEndsWhenAllItsSequencesAreStopped) {
  Start({});
  Request request = MakeRequest(1, 100, 3);
  request.num_sequences = 2;
  Add(std::move(request));
  scheduler_->StopSequence(RequestId{1}, 1);
  scheduler_->StopSequence(RequestId{1}, 0);  // waiting: at once
  TakeEvents();
  EXPECT_EQ(outcomes_[1].end, FinishReason::kStop);
  EXPECT_FALSE(outcomes_[1].admitted);
  Add(MakeRequest(2, 100, 3));
  BeginStep();
  scheduler_->StopSequence(RequestId{2}, 0);
  EndStep(absl::OkStatus());
  EXPECT_EQ(outcomes_[2].end, FinishReason::kStop);
  EXPECT_TRUE(outcomes_[2].tokens[0].empty());
  EXPECT_TRUE(scheduler_->idle());
}

TEST_F(SchedulerTest, DeadlinesEndRequestsWhereverTheyAre) {
  Start({.max_running_sequences = 1});
  Request running = MakeRequest(1, 10, 100);
  running.deadline = now_ + milliseconds(55);
  Request waiting = MakeRequest(2, 10, 100);
  waiting.deadline = now_ + milliseconds(25);
  Add(std::move(running));
  BeginStep();
  Add(std::move(waiting));
  EndStep(absl::OkStatus());
  Finish();
  EXPECT_EQ(outcomes_[1].end, FinishReason::kDeadlineExceeded);
  EXPECT_EQ(outcomes_[1].tokens[0].size(), 6U);
  EXPECT_EQ(outcomes_[2].end, FinishReason::kDeadlineExceeded);
  EXPECT_FALSE(outcomes_[2].admitted);
}

TEST_F(SchedulerTest, AFailedStepEndsItsRequestsAndCachesNothing) {
  Start({.max_running_sequences = 2});
  Add(MakeRequest(1, 100, 5));
  Add(MakeRequest(2, 100, 5));
  Add(MakeRequest(3, 100, 5));
  BeginStep();
  EndStep(absl::InternalError("the device is gone"));
  EXPECT_EQ(outcomes_[1].end, FinishReason::kFailed);
  EXPECT_EQ(outcomes_[2].end, FinishReason::kFailed);
  EXPECT_EQ(scheduler_->counts().num_cached_blocks, 0);
  Finish();
  EXPECT_EQ(outcomes_[3].end, FinishReason::kLength);
}

TEST_F(SchedulerTest, ABrokenRowEndsItsRequestAlone) {
  Start({});
  Add(MakeRequest(1, 100, 5));
  Add(MakeRequest(2, 100, 5));
  BeginStep();
  not_finite_ = 0;
  EndStep(absl::OkStatus());
  not_finite_ = -1;
  EXPECT_EQ(outcomes_[1].end, FinishReason::kFailed);
  EXPECT_FALSE(outcomes_[2].end.has_value());
  EXPECT_EQ(outcomes_[2].tokens[0].size(), 1U);
  Finish();
  Request again = MakeRequest(3, 100, 1);
  again.prompt = Tokens(100, 1000);
  Add(std::move(again));
  Finish();
  EXPECT_EQ(outcomes_[3].cache.cached_tokens, 0) << "what the broken step wrote is not found";
}

TEST_F(SchedulerTest, PriorityDecidesWhoIsAdmitted) {
  Start({.max_running_sequences = 1});
  Request low = MakeRequest(1, 10, 1);
  low.priority = 1;
  Add(std::move(low));
  Add(MakeRequest(2, 10, 1));
  EXPECT_THAT(Step(), ElementsAre(std::pair(2, 10)));
  EXPECT_THAT(Step(), ElementsAre(std::pair(1, 10)));
}

TEST_F(SchedulerTest, ALargeRequestIsNotPassedOverForever) {
  Start({.max_running_sequences = 8,
         .num_blocks = 8,
         .watermark = 0,
         .starvation_age = milliseconds(100)});
  for (int64_t id = 1; id <= 4; ++id) {
    Add(MakeRequest(id, 64, 20));
  }
  Step();
  Add(MakeRequest(100, 450, 10));  // the whole cache
  for (int64_t id = 5; !outcomes_[100].end.has_value() && id < 100; ++id) {
    Request more = MakeRequest(id, 64, 20);
    more.prompt = Tokens(64, static_cast<TokenId>(id));
    more.deadline = now_ + seconds(5);  // more urgent than a request without a deadline
    Add(std::move(more));
    Step();
  }
  EXPECT_EQ(outcomes_[100].end, FinishReason::kLength);
  Finish();
}

TEST_F(SchedulerTest, RefusesBeyondItsBounds) {
  Start({.max_requests = 2, .max_waiting_tokens = 100});
  Add(MakeRequest(1, 60, 1));
  EXPECT_EQ(scheduler_->Add(MakeLive(MakeRequest(2, 50, 1)), now_).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(scheduler_->Add(MakeLive(MakeRequest(1, 10, 1)), now_).code(),
            absl::StatusCode::kAlreadyExists);
  Add(MakeRequest(3, 40, 1));
  EXPECT_EQ(scheduler_->Add(MakeLive(MakeRequest(4, 1, 1)), now_).code(),
            absl::StatusCode::kResourceExhausted);
  Finish();
  outcomes_.clear();
  Add(MakeRequest(1, 10, 1));  // its id is free again
  Finish();
}

TEST_F(SchedulerTest, CountsWhatItDid) {
  Start({});
  Add(MakeRequest(1, 10, 3));
  Add(MakeRequest(2, 20, 4));
  scheduler_->Cancel(RequestId{2});
  Finish();
  const SchedulerCounts counts = scheduler_->counts();
  EXPECT_EQ(counts.total_steps, 3);
  EXPECT_EQ(counts.total_prompt_tokens, 10);
  EXPECT_EQ(counts.total_generated_tokens, 3);
  EXPECT_EQ(counts.total_ended[static_cast<size_t>(FinishReason::kLength)], 1);
  EXPECT_EQ(counts.total_ended[static_cast<size_t>(FinishReason::kCancelled)], 1);
}

}  // namespace
}  // namespace hadal::test
