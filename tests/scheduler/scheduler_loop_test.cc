#include "scheduler/scheduler_loop.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <latch>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "engine/simulated_executor.h"
#include "scheduler/token_stream.h"

namespace hadal {
namespace {

constexpr int32_t kSampledVocabSize = 500;
constexpr TokenId kPoison = 500;  // in no continuation

Limits SmallLimits() {
  Limits limits;
  limits.vocab_size = kSampledVocabSize + 1;
  limits.max_running_sequences = 8;
  limits.max_step_tokens = 64;
  limits.max_requests = 32;
  limits.max_waiting_tokens = 10'000;
  limits.max_sequence_tokens = 512;
  limits.max_sequences_per_request = 4;
  limits.num_blocks = 24;
  return limits;
}

// What a reader saw of one request.
struct Continuation {
  std::vector<std::vector<TokenId>> tokens;          // of each sequence
  std::vector<std::optional<FinishReason>> reasons;  // likewise
};

Continuation ReadAll(TokenStream& stream, int32_t num_sequences) {
  Continuation read;
  read.tokens.resize(num_sequences);
  read.reasons.resize(num_sequences);
  std::vector<TokenStream::Item> items;
  bool more = true;
  while (more) {
    items.clear();
    more = stream.Read(absl::InfiniteDuration(), items);
    for (const TokenStream::Item& item : items) {
      EXPECT_FALSE(read.reasons[item.sequence].has_value());
      if (item.end.has_value()) {
        read.reasons[item.sequence] = item.end;
      } else {
        read.tokens[item.sequence].push_back(item.token);
      }
    }
  }
  for (const auto& reason : read.reasons) {
    EXPECT_TRUE(reason.has_value());
  }
  return read;
}

// The tokens that a sequence gets when nothing stops it, from its own tokens alone.
std::vector<TokenId> Expected(const Request& request, int32_t sequence, int64_t num_tokens) {
  SamplingParams params = request.sampling;
  params.seed += static_cast<uint64_t>(sequence);
  std::vector<TokenId> tokens = request.prompt;
  for (int64_t i = 0; i < num_tokens; ++i) {
    tokens.push_back(SimulatedExecutor::NextToken(tokens, params, kSampledVocabSize));
  }
  return {tokens.begin() + std::ssize(request.prompt), tokens.end()};
}

Request MakeRequest(int64_t id, int64_t num_prompt_tokens, int64_t max_new_tokens) {
  Request request;
  request.id = RequestId{id};
  for (int64_t i = 0; i < num_prompt_tokens; ++i) {
    request.prompt.push_back(static_cast<TokenId>((id + i) % kSampledVocabSize));
  }
  request.sampling.seed = static_cast<uint64_t>(id);
  request.max_new_tokens = max_new_tokens;
  return request;
}

class SchedulerLoopTest : public testing::Test {
 protected:
  void Start(const Limits& limits,
             const SimulatedExecutor::Faults& faults,
             std::function<void(const StepReport&)> observe) {
    executor_ =
        std::make_unique<SimulatedExecutor>(SimulatedExecutor::Args{.clock = clock_,
                                                                    .num_blocks = limits.num_blocks,
                                                                    .vocab_size = kSampledVocabSize,
                                                                    .faults = faults});
    auto loop = SchedulerLoop::Create(
        {.limits = limits, .executor = *executor_, .clock = clock_, .observe = std::move(observe)});
    ASSERT_TRUE(loop.ok()) << loop.status();
    loop_ = *std::move(loop);
  }

  void Start() { Start(SmallLimits(), {.poison_token = kPoison}, nullptr); }

  // The stream of an accepted request.
  std::shared_ptr<TokenStream> Submit(Request request) {
    auto stream = loop_->Submit(std::move(request), nullptr);
    EXPECT_TRUE(stream.ok()) << stream.status();
    return *std::move(stream);
  }

  // The answer to a request that should be refused.
  absl::Status SubmitRefused(Request request) {
    return loop_->Submit(std::move(request), nullptr).status();
  }

  VirtualClock clock_;
  std::unique_ptr<SimulatedExecutor> executor_;
  std::unique_ptr<SchedulerLoop> loop_;
};

TEST_F(SchedulerLoopTest, TokensAreThoseOfTheSequenceAlone) {
  Start();
  std::vector<Request> requests;
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int64_t i = 0; i < 20; ++i) {
    Request request = MakeRequest(i, 1 + 13 * i, 5 + 7 * i);
    request.num_sequences = static_cast<int32_t>(1 + i % 4);
    requests.push_back(request);
    streams.push_back(Submit(request));
  }
  for (size_t i = 0; i < requests.size(); ++i) {
    const Continuation read = ReadAll(*streams[i], requests[i].num_sequences);
    for (int32_t sequence = 0; sequence < requests[i].num_sequences; ++sequence) {
      EXPECT_EQ(read.tokens[sequence], Expected(requests[i], sequence, requests[i].max_new_tokens));
      EXPECT_EQ(read.reasons[sequence], FinishReason::kLength);
    }
    EXPECT_TRUE(streams[i]->cache_report().has_value());
  }
}

TEST_F(SchedulerLoopTest, LogprobsReachTheReader) {
  Start();
  Request request = MakeRequest(1, 3, 4);
  request.sampling.num_logprobs = 2;
  const std::shared_ptr<TokenStream> stream = Submit(request);
  std::vector<TokenStream::Item> items;
  while (stream->Read(absl::InfiniteDuration(), items)) {
  }
  ASSERT_EQ(items.size(), 5U);
  for (int32_t i = 0; i < 4; ++i) {
    ASSERT_EQ(items[i].top_logprobs.size(), 2U);
    EXPECT_EQ(items[i].top_logprobs[0].token, items[i].token);
    EXPECT_EQ(items[i].top_logprobs[0].logprob, items[i].logprob);
  }
}

TEST_F(SchedulerLoopTest, StopTokensEndASequence) {
  Start();
  Request request = MakeRequest(1, 3, 50);
  const std::vector<TokenId> tokens = Expected(request, 0, 10);
  request.stop_token_ids = {tokens[9]};
  const Continuation read = ReadAll(*Submit(request), 1);
  EXPECT_EQ(read.reasons[0], FinishReason::kStop);
  EXPECT_EQ(read.tokens[0].back(), tokens[9]);
}

TEST_F(SchedulerLoopTest, TheListenerIsToldOfAllThatComes) {
  Start();
  const Request request = MakeRequest(1, 3, 200);
  std::vector<TokenStream::Item> items;
  std::latch ended(1);
  const auto listen = [&items, &ended](TokenStream& stream) {
    if (!stream.Read(absl::ZeroDuration(), items)) {
      ended.count_down();
    }
  };
  const auto stream = loop_->Submit(request, listen);
  ASSERT_TRUE(stream.ok());
  ended.wait();
  loop_.reset();  // calls what is on this stack
  EXPECT_EQ(items.size(), 201U);
}

TEST_F(SchedulerLoopTest, RequestsThatCanNeverRunAreRefused) {
  Start();
  EXPECT_EQ(SubmitRefused(MakeRequest(1, 3, 10'000)).code(), absl::StatusCode::kInvalidArgument);
  Limits limits = SmallLimits();
  limits.max_step_tokens = 0;
  EXPECT_EQ(SchedulerLoop::Create(
                {.limits = limits, .executor = *executor_, .clock = clock_, .observe = nullptr})
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);
}

// Holds the loop's thread inside of its first step until Release.
class Gate {
 public:
  std::function<void(const StepReport&)> observer() {
    return [this](const StepReport&) {
      if (!std::exchange(has_entered_, true)) {
        entered_.count_down();
        release_.wait();
      }
    };
  }
  void AwaitEntered() { entered_.wait(); }
  void Release() { release_.count_down(); }

 private:
  bool has_entered_ = false;  // the loop's thread's
  std::latch entered_{1};
  std::latch release_{1};
};

TEST_F(SchedulerLoopTest, LimitsAndIdsAreFreeAgainWhenAStreamHasEnded) {
  Gate gate;
  Limits limits = SmallLimits();
  limits.max_requests = 2;
  Start(limits, {}, gate.observer());
  const std::shared_ptr<TokenStream> first = Submit(MakeRequest(1, 3, 5));
  gate.AwaitEntered();
  EXPECT_EQ(SubmitRefused(MakeRequest(1, 3, 5)).code(), absl::StatusCode::kAlreadyExists);
  const std::shared_ptr<TokenStream> second = Submit(MakeRequest(2, 3, 500));
  EXPECT_EQ(SubmitRefused(MakeRequest(3, 3, 5)).code(), absl::StatusCode::kResourceExhausted);
  gate.Release();
  for (int32_t i = 0; i < 200; ++i) {
    const Request request = MakeRequest(1, 3, 5);
    EXPECT_EQ(ReadAll(i == 0 ? *first : *Submit(request), 1).tokens[0], Expected(request, 0, 5));
  }
  ReadAll(*second, 1);
  loop_.reset();  // calls what is on this stack
}

TEST_F(SchedulerLoopTest, WaitingTokensAreLimited) {
  Gate gate;
  Limits limits = SmallLimits();
  limits.max_waiting_tokens = 300;
  Start(limits, {}, gate.observer());
  const std::shared_ptr<TokenStream> first = Submit(MakeRequest(1, 3, 500));
  gate.AwaitEntered();  // its admission was taken into account while its step ran
  const std::shared_ptr<TokenStream> second = Submit(MakeRequest(2, 300, 5));
  EXPECT_EQ(SubmitRefused(MakeRequest(3, 1, 5)).code(), absl::StatusCode::kResourceExhausted);
  gate.Release();
  ReadAll(*second, 1);
  ReadAll(*Submit(MakeRequest(3, 300, 5)), 1);
  loop_.reset();  // calls what is on this stack
}

TEST_F(SchedulerLoopTest, CancelEndsWithinAStep) {
  Gate gate;
  int64_t num_steps = 0;
  Start(SmallLimits(), {}, [&num_steps, hold = gate.observer()](const StepReport& report) {
    ++num_steps;
    hold(report);
  });
  Request request = MakeRequest(1, 3, 500);
  request.num_sequences = 3;
  const std::shared_ptr<TokenStream> stream = Submit(request);
  gate.AwaitEntered();
  loop_->Cancel(RequestId{1});
  loop_->Cancel(RequestId{1});
  loop_->Cancel(RequestId{2});
  gate.Release();
  std::vector<TokenStream::Item> items;
  while (stream->Read(absl::InfiniteDuration(), items)) {
  }
  loop_->Cancel(RequestId{1});
  loop_.reset();  // calls what is on this stack
  EXPECT_LE(num_steps, 2);
  int32_t num_ends = 0;
  for (const TokenStream::Item& item : items) {
    num_ends += item.end == FinishReason::kCancelled ? 1 : 0;
  }
  EXPECT_EQ(num_ends, 3);
}

TEST_F(SchedulerLoopTest, AStoppedSequenceEndsWithinAStepAndTheOthersGoOn) {
  Gate gate;
  Start(SmallLimits(), {}, gate.observer());
  Request request = MakeRequest(1, 3, 50);
  request.num_sequences = 3;
  const std::shared_ptr<TokenStream> stream = Submit(request);
  gate.AwaitEntered();  // each has its first token
  loop_->StopSequence(RequestId{1}, 1);
  loop_->StopSequence(RequestId{1}, 1);
  loop_->StopSequence(RequestId{1}, 3);
  loop_->StopSequence(RequestId{2}, 0);
  gate.Release();
  const Continuation read = ReadAll(*stream, 3);
  loop_->StopSequence(RequestId{1}, 0);
  loop_.reset();  // calls what is on this stack
  EXPECT_EQ(read.reasons[1], FinishReason::kStop);
  EXPECT_LE(read.tokens[1].size(), 2U);
  for (const int32_t other : {0, 2}) {
    EXPECT_EQ(read.reasons[other], FinishReason::kLength);
    EXPECT_EQ(read.tokens[other], Expected(request, other, 50));
  }
}

TEST_F(SchedulerLoopTest, DeadlinesEndWaitingAndRunningRequests) {
  Limits limits = SmallLimits();
  limits.max_running_sequences = 4;
  Gate gate;
  Start(limits, {}, gate.observer());
  Request runs = MakeRequest(1, 3, 500);
  runs.num_sequences = 4;
  runs.deadline = clock_.Now() + std::chrono::milliseconds(200);
  const std::shared_ptr<TokenStream> first = Submit(runs);
  gate.AwaitEntered();
  Request waits = MakeRequest(2, 3, 500);
  waits.deadline = runs.deadline;
  const std::shared_ptr<TokenStream> second = Submit(waits);
  gate.Release();
  std::vector<TokenStream::Item> items;
  while (first->Read(absl::InfiniteDuration(), items)) {
  }
  EXPECT_EQ(items.back().end, FinishReason::kDeadlineExceeded);
  const Continuation read = ReadAll(*second, 1);
  EXPECT_TRUE(read.tokens[0].empty());
  EXPECT_EQ(read.reasons[0], FinishReason::kDeadlineExceeded);
  loop_.reset();  // calls what is on this stack
}

TEST_F(SchedulerLoopTest, AFailedStepEndsItsRequestsAndNoOthers) {
  std::atomic<int64_t> num_failed = 0;
  Start(SmallLimits(), {.seed = 3, .step_failure = 0.01}, [&num_failed](const StepReport& report) {
    num_failed += report.failed ? 1 : 0;
    EXPECT_EQ(report.stats == nullptr, report.failed);
  });
  int64_t num_good = 0;
  for (int64_t i = 0; i < 50; ++i) {
    const Request request = MakeRequest(i, 5, 20);
    const Continuation read = ReadAll(*Submit(request), 1);
    num_good += read.reasons[0] == FinishReason::kLength ? 1 : 0;
    EXPECT_EQ(read.tokens[0], Expected(request, 0, std::ssize(read.tokens[0])));
  }
  loop_.reset();
  EXPECT_GT(num_failed, 0);
  EXPECT_EQ(num_good, 50 - num_failed);
}

TEST_F(SchedulerLoopTest, APoisonedRequestFailsAlone) {
  Start();
  const Request good = MakeRequest(1, 20, 100);
  Request bad = MakeRequest(2, 20, 100);
  bad.prompt[10] = kPoison;
  const std::shared_ptr<TokenStream> good_stream = Submit(good);
  const Continuation read = ReadAll(*Submit(bad), 1);
  EXPECT_EQ(read.reasons[0], FinishReason::kFailed);
  EXPECT_TRUE(read.tokens[0].empty());
  EXPECT_EQ(ReadAll(*good_stream, 1).tokens[0], Expected(good, 0, 100));
}

TEST_F(SchedulerLoopTest, DrainEndsWhatIsLiveAndRefusesTheRest) {
  Start();
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int64_t i = 0; i < 20; ++i) {
    streams.push_back(Submit(MakeRequest(i, 30, 30)));
  }
  std::thread other([this] { loop_->Drain(); });
  loop_->Drain();
  for (const auto& stream : streams) {
    std::vector<TokenStream::Item> items;
    EXPECT_FALSE(stream->Read(absl::ZeroDuration(), items));
    EXPECT_EQ(items.size(), 31U);
  }
  other.join();
  EXPECT_EQ(SubmitRefused(MakeRequest(1, 3, 5)).code(), absl::StatusCode::kUnavailable);
  loop_->Cancel(RequestId{1});
  loop_->Drain();
}

TEST_F(SchedulerLoopTest, AnIdleLoopDrainsAndEnds) {
  Start();
  loop_->Drain();
  loop_.reset();
  Start();
  loop_.reset();
}

TEST_F(SchedulerLoopTest, DestructionCancelsWhatIsLive) {
  for (int32_t round = 0; round < 20; ++round) {
    Gate gate;
    Start(SmallLimits(), {}, gate.observer());
    std::vector<std::shared_ptr<TokenStream>> streams;
    for (int64_t i = 0; i < 30; ++i) {
      streams.push_back(Submit(MakeRequest(i, 30, 400)));
    }
    gate.AwaitEntered();
    SchedulerLoop* loop = loop_.get();  // there until the gate is released
    std::thread stop([this] { loop_.reset(); });
    while (!absl::IsUnavailable(loop->Submit(MakeRequest(99, 1, 1), nullptr).status())) {
    }
    gate.Release();
    stop.join();
    for (const auto& stream : streams) {
      std::vector<TokenStream::Item> items;
      EXPECT_FALSE(stream->Read(absl::ZeroDuration(), items));
      EXPECT_EQ(items.back().end, FinishReason::kCancelled);
    }
  }
}

TEST_F(SchedulerLoopTest, ReportsSayWhereTimeWent) {
  std::vector<StepReport> reports;
  std::vector<int64_t> context_tokens;
  Start(SmallLimits(), {}, [&](const StepReport& report) {
    reports.push_back(report);
    context_tokens.push_back(report.stats->context_tokens);
  });
  ReadAll(*Submit(MakeRequest(1, 10, 3)), 1);
  loop_.reset();
  ASSERT_EQ(reports.size(), 3U);
  EXPECT_EQ(reports[0].num_tokens, 10);
  EXPECT_EQ(reports[1].num_tokens, 1);
  for (const StepReport& report : reports) {
    EXPECT_EQ(report.num_sequences, 1);
    EXPECT_FALSE(report.failed);
    EXPECT_EQ(report.step_time, report.forward_time + report.sample_time);  // all else takes none
  }
  EXPECT_EQ(reports[2].counts.total_generated_tokens, 3);
  EXPECT_EQ(context_tokens, (std::vector<int64_t>{10, 11, 12}));
}

TEST_F(SchedulerLoopTest, CountsAreSeenWhenTheLastRequestEndsWithoutAStep) {
  SimulatedExecutor executor({.clock = clock_, .num_blocks = 64, .vocab_size = kSampledVocabSize});
  std::vector<SchedulerCounts> counts;
  loop_ = *SchedulerLoop::Create(
      {.limits = SmallLimits(),
       .executor = executor,
       .clock = clock_,
       .observe = nullptr,
       .observe_idle = [&counts](const SchedulerCounts& idle) { counts.push_back(idle); }});
  Request request = MakeRequest(1, 3, 5);
  request.deadline = clock_.Now();
  EXPECT_EQ(ReadAll(*Submit(request), 1).reasons[0], FinishReason::kDeadlineExceeded);
  loop_.reset();
  ASSERT_FALSE(counts.empty());
  EXPECT_EQ(counts.back().total_ended[static_cast<size_t>(FinishReason::kDeadlineExceeded)], 1);
  EXPECT_EQ(executor.num_steps(), 0);
}

// Holds the second half of the first step until Release.
class GatedExecutor final : public Executor {
 public:
  explicit GatedExecutor(Executor& executor) : executor_(executor) {}

  void Submit(const StepInput& input) override { executor_.Submit(input); }
  absl::Status Wait(StepOutput& output) override {
    if (!std::exchange(has_entered_, true)) {
      entered_.count_down();
      release_.wait();
    }
    return executor_.Wait(output);
  }

  void AwaitEntered() { entered_.wait(); }
  void Release() { release_.count_down(); }

 private:
  Executor& executor_;
  bool has_entered_ = false;  // the loop's thread's
  std::latch entered_{1};
  std::latch release_{1};
};

TEST_F(SchedulerLoopTest, WhatArrivesDuringAStepCountsForTheNext) {
  SimulatedExecutor simulated({.clock = clock_,
                               .num_blocks = SmallLimits().num_blocks,
                               .vocab_size = kSampledVocabSize,
                               .cost = {},
                               .faults = {}});
  GatedExecutor gated(simulated);
  std::vector<int64_t> num_sequences;
  loop_ = *SchedulerLoop::Create({.limits = SmallLimits(),
                                  .executor = gated,
                                  .clock = clock_,
                                  .observe = [&num_sequences](const StepReport& report) {
                                    num_sequences.push_back(report.num_sequences);
                                  }});
  const std::shared_ptr<TokenStream> first = Submit(MakeRequest(1, 3, 3));
  gated.AwaitEntered();
  const std::shared_ptr<TokenStream> second = Submit(MakeRequest(2, 3, 3));
  const std::shared_ptr<TokenStream> third = Submit(MakeRequest(3, 3, 3));
  loop_->Cancel(RequestId{1});
  gated.Release();
  EXPECT_EQ(ReadAll(*first, 1).reasons[0], FinishReason::kCancelled);
  loop_->Drain();
  loop_.reset();
  EXPECT_EQ(num_sequences, (std::vector<int64_t>{1, 2, 2, 2}));
}

TEST_F(SchedulerLoopTest, TheHeartbeatSaysWhetherAStepIsUnderWay) {
  clock_.Advance(std::chrono::seconds(5));
  const TimePoint made = clock_.Now();
  SimulatedExecutor simulated({.clock = clock_,
                               .num_blocks = SmallLimits().num_blocks,
                               .vocab_size = kSampledVocabSize,
                               .cost = {},
                               .faults = {}});
  GatedExecutor gated(simulated);
  loop_ = *SchedulerLoop::Create(
      {.limits = SmallLimits(), .executor = gated, .clock = clock_, .observe = nullptr});
  EXPECT_EQ(loop_->heartbeat().num_steps, 0);
  EXPECT_FALSE(loop_->heartbeat().in_step);
  EXPECT_EQ(loop_->heartbeat().since, made);
  const std::shared_ptr<TokenStream> stream = Submit(MakeRequest(1, 3, 4));
  gated.AwaitEntered();
  clock_.Advance(std::chrono::seconds(7));  // nobody else moves it: the step is held
  EXPECT_EQ(loop_->heartbeat().num_steps, 0);
  EXPECT_TRUE(loop_->heartbeat().in_step);
  EXPECT_EQ(loop_->heartbeat().since, made);
  gated.Release();
  ReadAll(*stream, 1);
  loop_->Drain();
  EXPECT_EQ(loop_->heartbeat().num_steps, 4);
  EXPECT_FALSE(loop_->heartbeat().in_step);
  EXPECT_EQ(loop_->heartbeat().since, clock_.Now());
}

// Clients of all kinds at once, with faults and too few blocks: every stream that was accepted ends
// once, and what it holds is what the sequence would have got alone.
TEST_F(SchedulerLoopTest, ManyClients) {
  constexpr int64_t kNumThreads = 8;
  constexpr int64_t kNumRequests = 60;
  Start(SmallLimits(),
        {.seed = 1, .step_failure = 0.002, .slow_step = 0.01, .not_finite = 0.0005},
        nullptr);
  std::atomic<int64_t> num_accepted = 0;
  std::atomic<int64_t> num_complete = 0;
  std::vector<std::thread> threads;
  for (int64_t thread = 0; thread < kNumThreads; ++thread) {
    threads.emplace_back([&, thread] {
      std::mt19937_64 random(static_cast<uint64_t>(thread));
      for (int64_t i = 0; i < kNumRequests; ++i) {
        const int64_t id = thread * kNumRequests + i;
        Request request = MakeRequest(
            id, 1 + static_cast<int64_t>(random() % 200), 1 + static_cast<int64_t>(random() % 60));
        if (random() % 2 == 0) {  // a prompt that others have as well
          std::iota(request.prompt.begin(), request.prompt.end(), 0);
        }
        request.num_sequences = static_cast<int32_t>(1 + random() % 3);
        request.tenant = TenantId{static_cast<int32_t>(random() % 3)};
        request.priority = static_cast<int32_t>(random() % 2);
        if (random() % 8 == 0) {
          request.deadline = clock_.Now() + std::chrono::milliseconds(random() % 500);
        }
        const auto stream = loop_->Submit(request, nullptr);
        if (!stream.ok()) {
          EXPECT_EQ(stream.status().code(), absl::StatusCode::kResourceExhausted)
              << stream.status();
          continue;
        }
        ++num_accepted;
        if (random() % 4 == 0) {
          std::vector<TokenStream::Item> items;
          (*stream)->Read(absl::Microseconds(random() % 500), items);
          loop_->Cancel(request.id);
          while ((*stream)->Read(absl::InfiniteDuration(), items)) {
          }
          continue;
        }
        const Continuation read = ReadAll(**stream, request.num_sequences);
        for (int32_t sequence = 0; sequence < request.num_sequences; ++sequence) {
          const std::vector<TokenId>& tokens = read.tokens[sequence];
          EXPECT_EQ(tokens, Expected(request, sequence, std::ssize(tokens)));
          if (read.reasons[sequence] == FinishReason::kLength) {
            EXPECT_EQ(std::ssize(tokens), request.max_new_tokens);
            ++num_complete;
          }
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  loop_->Drain();
  EXPECT_GT(num_accepted, kNumThreads);
  EXPECT_GT(num_complete, 0);
}

}  // namespace
}  // namespace hadal
