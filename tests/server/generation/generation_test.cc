#include "server/generation/generation.h"

#include <algorithm>
#include <map>
#include <utility>

#include <absl/synchronization/notification.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "engine/simulated_executor.h"
#include "engine/text/chat/prompt_tokens.h"
#include "tests/server/generation/test_model.h"

namespace hadal {
namespace {

using testing::HasSubstr;

constexpr int64_t kNumBlocks = 64;
constexpr int64_t kContext = 512;
constexpr int32_t kVocab = 100'000;  // of the simulated model: no added tokens among them

// A simulated engine and all that generations need.
class GenerationTest : public testing::Test {
 protected:
  GenerationTest()
      : executor_({.clock = virtual_clock_, .num_blocks = kNumBlocks, .vocab_size = kVocab}),
        admission_({.requests = 16, .prompt_tokens = 2000, .body_bytes = 1 << 20},
                   virtual_clock_,
                   *metrics_) {
    auto loop = SchedulerLoop::Create({.limits = {.vocab_size = 129'280,
                                                  .max_requests = 16,
                                                  .max_waiting_tokens = 2000,
                                                  .max_sequence_tokens = kContext,
                                                  .num_blocks = kNumBlocks},
                                       .executor = executor_,
                                       .clock = virtual_clock_,
                                       .observe = nullptr});
    CHECK(loop.ok());
    loop_ = *std::move(loop);
    context_.emplace(model_, *loop_, virtual_clock_, *metrics_);
    params_.seed = 1;
    params_.max_tokens = 20;
  }

  absl::StatusOr<std::unique_ptr<Generation>> Start(Prompt prompt, AnswerKind kind) {
    auto reservation =
        admission_.Reserve({.requests = params_.n, .prompt_tokens = std::ssize(prompt.tokens)});
    RETURN_IF_ERROR(reservation.status());
    return Generation::Start({.context = *context_,
                              .prompt = std::move(prompt),
                              .params = params_,
                              .kind = kind,
                              .tenant = {},
                              .arrival = virtual_clock_.Now(),
                              .reservation = *std::move(reservation),
                              .on_news = [this] { Announce(); }});
  }

  Prompt TextPrompt(std::string_view text) {
    auto prompt = model_.EncodeText(text);
    CHECK(prompt.ok());
    return *std::move(prompt);
  }

  void Announce() {
    const absl::MutexLock lock(&mutex_);
    has_news_ = true;
  }
  void AwaitNews() {
    const absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&has_news_));
    has_news_ = false;
  }

  // Reads to the end; the text of each choice.
  std::map<int32_t, std::string> ReadAll(Generation& generation) {
    std::vector<ChoiceDelta> deltas;
    while (generation.Read(deltas)) {
      AwaitNews();
    }
    EXPECT_FALSE(generation.Read(deltas)) << "the end stays the end";
    std::map<int32_t, std::string> texts;
    for (const ChoiceDelta& delta : deltas) {
      for (const AnswerDelta& part : delta.parts) {
        texts[delta.choice] += part.text;
      }
      if (delta.finish.has_value()) {
        EXPECT_TRUE(finishes_.emplace(delta.choice, *delta.finish).second) << "ends once";
      }
    }
    return texts;
  }

  VirtualClock virtual_clock_;
  SimulatedExecutor executor_;
  std::unique_ptr<ServerMetrics> metrics_ = ServerMetrics::Create({});
  ServedModel model_ = MakeTestModel(ChatFormat::kV3, kContext);
  Admission admission_;
  std::unique_ptr<SchedulerLoop> loop_;
  std::optional<GenerationContext> context_;
  GenerationParams params_;
  std::map<int32_t, FinishReason> finishes_;

  absl::Mutex mutex_;
  bool has_news_ ABSL_GUARDED_BY(mutex_) = false;
};

TEST_F(GenerationTest, GivesTheTextOfTheTokens) {
  const Prompt prompt = TextPrompt("once upon a time");
  std::vector<TokenId> tokens = prompt.tokens;
  for (int64_t i = 0; i < *params_.max_tokens; ++i) {
    SamplingParams sampling = params_.sampling;
    sampling.seed = *params_.seed;
    tokens.push_back(SimulatedExecutor::NextToken(tokens, sampling, kVocab));
  }
  auto generation = Start(prompt, AnswerKind::kText);
  ASSERT_TRUE(generation.ok()) << generation.status();
  const auto texts = ReadAll(**generation);
  const std::vector<TokenId> answer(tokens.begin() + std::ssize(prompt.tokens), tokens.end());
  EXPECT_EQ(texts.at(0), Decode(TestTokenizer(), answer, SpecialTokens::kHide));
  EXPECT_EQ(finishes_.at(0), FinishReason::kLength);
  EXPECT_TRUE((*generation)->failure().ok());
  EXPECT_EQ((*generation)->usage().prompt_tokens, std::ssize(prompt.tokens));
  EXPECT_EQ((*generation)->usage().completion_tokens, 20);
  EXPECT_TRUE((*generation)->admitted());
  EXPECT_TRUE((*generation)->times().first_token.has_value());
  EXPECT_GT((*generation)->times().total, Duration::zero());
}

TEST_F(GenerationTest, ChoicesAreApartAndAStopStringEndsOnlyItsOwn) {
  params_.n = 3;
  auto first = Start(TextPrompt("x"), AnswerKind::kText);
  ASSERT_TRUE(first.ok());
  const auto whole = ReadAll(**first);
  ASSERT_EQ(whole.size(), 3U);
  EXPECT_NE(whole.at(0), whole.at(1));

  const std::string stop = whole.at(1).substr(whole.at(1).size() / 2, 12);
  ASSERT_EQ(whole.at(0).find(stop), std::string::npos);
  params_.stop = {stop};
  finishes_.clear();
  auto second = Start(TextPrompt("x"), AnswerKind::kText);
  ASSERT_TRUE(second.ok());
  const auto texts = ReadAll(**second);
  EXPECT_EQ(texts.at(0), whole.at(0));
  EXPECT_EQ(texts.at(1), whole.at(1).substr(0, whole.at(1).find(stop)));
  EXPECT_EQ(texts.at(2), whole.at(2));
  EXPECT_EQ(finishes_.at(1), FinishReason::kStop);
  EXPECT_EQ(finishes_.at(2), FinishReason::kLength);
  EXPECT_LT((*second)->usage().completion_tokens, (*first)->usage().completion_tokens);
}

TEST_F(GenerationTest, WhatDoesNotFitIsRefusedWithItsNumbers) {
  params_.max_tokens = kContext;
  const auto too_long = Start(TextPrompt("x"), AnswerKind::kText);
  EXPECT_TRUE(absl::IsOutOfRange(too_long.status()));
  EXPECT_THAT(std::string(MessageOf(too_long.status())), HasSubstr("context holds 512 tokens"));
  const int64_t room = kContext - std::ssize(TextPrompt("x").tokens);
  params_.max_tokens = room;
  EXPECT_TRUE(Start(TextPrompt("x"), AnswerKind::kText).ok());
  params_.max_tokens = room + 1;
  EXPECT_TRUE(absl::IsOutOfRange(Start(TextPrompt("x"), AnswerKind::kText).status()));
  params_.max_tokens = 5;
  params_.min_tokens = 6;
  EXPECT_TRUE(absl::IsInvalidArgument(Start(TextPrompt("x"), AnswerKind::kText).status()));
}

TEST_F(GenerationTest, WithoutMaxTokensTheContextIsTheLimit) {
  params_.max_tokens = std::nullopt;
  auto generation = Start(TextPrompt("x"), AnswerKind::kText);
  ASSERT_TRUE(generation.ok());
  ReadAll(**generation);
  EXPECT_EQ((*generation)->usage().prompt_tokens + (*generation)->usage().completion_tokens,
            kContext);
}

TEST_F(GenerationTest, WhatWasHeldIsGivenBackAtTheEnd) {
  params_.n = 2;
  auto generation = Start(TextPrompt("some words"), AnswerKind::kText);
  ASSERT_TRUE(generation.ok());
  EXPECT_EQ(admission_.held().requests, 2);
  ReadAll(**generation);
  EXPECT_EQ(admission_.held().requests, 0);
  EXPECT_EQ(admission_.held().prompt_tokens, 0);
}

TEST_F(GenerationTest, OneThatGoesAwayIsCancelledAndGivesBackWhatItHeld) {
  params_.max_tokens = std::nullopt;
  {
    auto generation = Start(TextPrompt("x"), AnswerKind::kText);
    ASSERT_TRUE(generation.ok());
    AwaitNews();
  }
  loop_->Drain();  // returns when the scheduler is done with it
  loop_.reset();
  EXPECT_EQ(admission_.held().requests, 0);
  EXPECT_EQ(admission_.held().prompt_tokens, 0);
  EXPECT_LT(executor_.num_steps(), kContext) << "it did not run to its end";
}

TEST_F(GenerationTest, ADeadlineEndsItWithAnError) {
  params_.max_tokens = std::nullopt;
  params_.timeout = std::chrono::milliseconds(20);  // some 18 steps of virtual time
  auto generation = Start(TextPrompt("x"), AnswerKind::kText);
  ASSERT_TRUE(generation.ok());
  ReadAll(**generation);
  EXPECT_TRUE(absl::IsDeadlineExceeded((*generation)->failure())) << (*generation)->failure();
  EXPECT_EQ(finishes_.at(0), FinishReason::kDeadlineExceeded);
}

TEST_F(GenerationTest, AFailedStepIsAnInternalError) {
  executor_.FailStep(0);
  auto generation = Start(TextPrompt("x"), AnswerKind::kText);
  ASSERT_TRUE(generation.ok());
  ReadAll(**generation);
  EXPECT_TRUE(absl::IsInternal((*generation)->failure()));
}

TEST_F(GenerationTest, TheCacheReportIsThatOfTheScheduler) {
  std::string text;
  for (int i = 0; i < 200; ++i) {
    text += "word ";
  }
  auto first = Start(TextPrompt(text), AnswerKind::kText);
  ASSERT_TRUE(first.ok());
  ReadAll(**first);
  EXPECT_EQ((*first)->usage().cache.cached_tokens, 0);
  finishes_.clear();
  auto second = Start(TextPrompt(text), AnswerKind::kText);
  ASSERT_TRUE(second.ok());
  ReadAll(**second);
  EXPECT_EQ((*second)->usage().cache.cached_tokens,
            (*second)->usage().prompt_tokens / kBlockSize * kBlockSize);
  finishes_.clear();
  params_.cache_salt = "another";
  auto third = Start(TextPrompt(text), AnswerKind::kText);
  ASSERT_TRUE(third.ok());
  ReadAll(**third);
  EXPECT_EQ((*third)->usage().cache.cached_tokens, 0);
}

}  // namespace
}  // namespace hadal
