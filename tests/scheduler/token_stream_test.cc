#include "scheduler/token_stream.h"

#include <atomic>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

namespace hadal {
namespace {

using Item = TokenStream::Item;

Request MakeRequest(int32_t num_sequences, int64_t max_new_tokens) {
  Request request;
  request.prompt = {1};
  request.num_sequences = num_sequences;
  request.max_new_tokens = max_new_tokens;
  return request;
}

SampledToken Token(TokenId token) {
  SampledToken sampled;
  sampled.token = token;
  return sampled;
}

TEST(TokenStreamTest, WhatIsWrittenIsReadOnceAndInOrder) {
  TokenStream stream(MakeRequest(2, 3), nullptr);
  std::vector<Item> items;
  stream.Write(0, Token(10), TokenOrigin::kSampled);
  stream.Write(1, Token(20), TokenOrigin::kSampled);
  EXPECT_TRUE(stream.Read(absl::ZeroDuration(), items));
  ASSERT_EQ(items.size(), 2U);
  EXPECT_EQ(items[0].sequence, 0);
  EXPECT_EQ(items[0].token, 10);
  EXPECT_EQ(items[0].origin, TokenOrigin::kSampled);
  EXPECT_FALSE(items[0].end.has_value());
  EXPECT_TRUE(items[0].top_logprobs.empty());
  EXPECT_EQ(items[1].sequence, 1);
  EXPECT_EQ(items[1].token, 20);

  items.clear();
  EXPECT_TRUE(stream.Read(absl::ZeroDuration(), items));
  EXPECT_TRUE(items.empty());

  stream.EndSequence(0, FinishReason::kStop);
  stream.Write(1, Token(21), TokenOrigin::kDraft);
  stream.EndSequence(1, FinishReason::kLength);
  EXPECT_TRUE(stream.Read(absl::ZeroDuration(), items));
  ASSERT_EQ(items.size(), 3U);
  EXPECT_EQ(items[0].end, FinishReason::kStop);
  EXPECT_EQ(items[1].token, 21);
  EXPECT_EQ(items[1].origin, TokenOrigin::kDraft);
  EXPECT_EQ(items[2].sequence, 1);
  EXPECT_EQ(items[2].end, FinishReason::kLength);

  stream.End();
  EXPECT_FALSE(stream.Read(absl::InfiniteDuration(), items));
  EXPECT_EQ(items.size(), 3U);
  EXPECT_FALSE(stream.Read(absl::InfiniteDuration(), items));
}

TEST(TokenStreamTest, TheLastItemsMayComeTogetherWithTheEnd) {
  TokenStream stream(MakeRequest(1, 1), nullptr);
  stream.Write(0, Token(5), TokenOrigin::kSampled);
  stream.EndSequence(0, FinishReason::kLength);
  stream.End();
  std::vector<Item> items;
  EXPECT_FALSE(stream.Read(absl::ZeroDuration(), items));
  EXPECT_EQ(items.size(), 2U);
}

TEST(TokenStreamTest, LogprobsStayWhereTheyAre) {
  Request request = MakeRequest(1, 100);
  request.sampling.num_logprobs = 2;
  TokenStream stream(request, nullptr);
  std::vector<Item> items;
  for (int32_t i = 0; i < 100; ++i) {
    SampledToken token = Token(i);
    token.logprob = -static_cast<float>(i);
    token.top_logprobs = {{i, -1}, {i + 1, -2}};
    if (i % 3 == 0) {
      token.top_logprobs.resize(1);  // no other token is possible
    }
    stream.Write(0, token, TokenOrigin::kSampled);
    EXPECT_TRUE(stream.Read(absl::ZeroDuration(), items));
  }
  ASSERT_EQ(items.size(), 100U);
  for (int32_t i = 0; i < 100; ++i) {
    EXPECT_EQ(items[i].logprob, -static_cast<float>(i));
    ASSERT_EQ(items[i].top_logprobs.size(), i % 3 == 0 ? 1U : 2U);
    EXPECT_EQ(items[i].top_logprobs[0].token, i);
    EXPECT_EQ(items[i].top_logprobs.back().token, i % 3 == 0 ? i : i + 1);
    EXPECT_EQ(items[i].top_logprobs.back().logprob, i % 3 == 0 ? -1 : -2);
  }
}

TEST(TokenStreamTest, ZeroLogprobsAreThoseOfTheTokenItself) {
  Request request = MakeRequest(1, 1);
  request.sampling.num_logprobs = 0;
  TokenStream stream(request, nullptr);
  SampledToken token = Token(3);
  token.logprob = -0.5F;
  stream.Write(0, token, TokenOrigin::kSampled);
  std::vector<Item> items;
  EXPECT_TRUE(stream.Read(absl::ZeroDuration(), items));
  EXPECT_EQ(items[0].logprob, -0.5F);
  EXPECT_TRUE(items[0].top_logprobs.empty());
}

TEST(TokenStreamTest, AReadWithoutNewsEndsWithItsTimeout) {
  TokenStream stream(MakeRequest(1, 1), nullptr);
  std::vector<Item> items;
  EXPECT_TRUE(stream.Read(absl::Milliseconds(1), items));
  EXPECT_TRUE(items.empty());
}

TEST(TokenStreamTest, TheCacheReportIsThereAfterAdmission) {
  TokenStream stream(MakeRequest(1, 1), nullptr);
  EXPECT_FALSE(stream.cache_report().has_value());
  stream.Admit({.cached_tokens = 64, .miss = CacheMiss::kDiverged, .position = 70});
  ASSERT_TRUE(stream.cache_report().has_value());
  EXPECT_EQ(stream.cache_report()->cached_tokens, 64);
  EXPECT_EQ(stream.cache_report()->position, 70);
}

TEST(TokenStreamTest, TheListenerIsCalledOnceUntilAllIsRead) {
  int32_t num_calls = 0;
  TokenStream stream(MakeRequest(1, 4), [&num_calls](TokenStream&) { ++num_calls; });
  EXPECT_EQ(num_calls, 0);
  stream.Write(0, Token(1), TokenOrigin::kSampled);
  stream.Write(0, Token(2), TokenOrigin::kDraft);
  EXPECT_EQ(num_calls, 1);
  std::vector<Item> items;
  EXPECT_TRUE(stream.Read(absl::ZeroDuration(), items));
  stream.Write(0, Token(3), TokenOrigin::kSampled);
  EXPECT_EQ(num_calls, 2);
  EXPECT_TRUE(stream.Read(absl::ZeroDuration(), items));
  stream.EndSequence(0, FinishReason::kStop);
  EXPECT_EQ(num_calls, 3);
  EXPECT_TRUE(stream.Read(absl::ZeroDuration(), items));
  stream.End();
  EXPECT_EQ(num_calls, 4);
  EXPECT_FALSE(stream.Read(absl::ZeroDuration(), items));
}

TEST(TokenStreamTest, TheListenerIsToldOfAdmission) {
  int32_t num_calls = 0;
  TokenStream stream(MakeRequest(1, 1), [&num_calls](TokenStream&) { ++num_calls; });
  stream.Admit({.cached_tokens = 64});
  EXPECT_EQ(num_calls, 1);
  stream.Write(0, Token(1), TokenOrigin::kSampled);
  EXPECT_EQ(num_calls, 2) << "also when nothing was read on admission";
}

TEST(TokenStreamTest, TheListenerMayReadInPlace) {
  std::vector<Item> items;
  bool more = true;
  TokenStream stream(MakeRequest(1, 2), [&items, &more](TokenStream& self) {
    more = self.Read(absl::ZeroDuration(), items);
  });
  stream.Write(0, Token(1), TokenOrigin::kSampled);
  stream.Write(0, Token(2), TokenOrigin::kSampled);
  stream.EndSequence(0, FinishReason::kLength);
  EXPECT_EQ(items.size(), 3U);
  EXPECT_TRUE(more);
  stream.End();
  EXPECT_FALSE(more);
}

class TokenStreamThreadsTest : public testing::TestWithParam<bool> {};

TEST_P(TokenStreamThreadsTest, NothingIsLostBetweenWriterAndReader) {
  constexpr int32_t kNumTokens = 20'000;
  const bool listens = GetParam();
  Request request = MakeRequest(1, kNumTokens);
  request.sampling.num_logprobs = 1;
  std::atomic<int64_t> num_calls = 0;
  TokenStream::Listener listener = nullptr;
  if (listens) {
    listener = [&num_calls](TokenStream&) {
      num_calls.fetch_add(1);
      num_calls.notify_one();
    };
  }
  TokenStream stream(request, listener);
  std::thread writer([&stream] {
    SampledToken token = Token(0);
    token.top_logprobs.resize(1);
    for (int32_t i = 0; i < kNumTokens; ++i) {
      token.token = i;
      token.top_logprobs[0].token = i;
      stream.Write(0, token, TokenOrigin::kSampled);
    }
    stream.EndSequence(0, FinishReason::kLength);
    stream.End();
  });
  std::vector<Item> items;
  int64_t num_seen_calls = 0;
  bool more = true;
  while (more) {
    if (listens) {
      num_calls.wait(num_seen_calls);
      num_seen_calls = num_calls.load();
    }
    more = stream.Read(listens ? absl::ZeroDuration() : absl::InfiniteDuration(), items);
  }
  writer.join();
  ASSERT_EQ(std::ssize(items), kNumTokens + 1);
  for (int32_t i = 0; i < kNumTokens; ++i) {
    ASSERT_EQ(items[i].token, i);
    ASSERT_EQ(items[i].top_logprobs[0].token, i);
  }
  EXPECT_EQ(items.back().end, FinishReason::kLength);
}

INSTANTIATE_TEST_SUITE_P(Readers, TokenStreamThreadsTest, testing::Bool());

TEST(TokenStreamDeathTest, BrokenOrderIsFound) {
  TokenStream stream(MakeRequest(2, 1), nullptr);
  stream.Write(0, Token(1), TokenOrigin::kSampled);
  EXPECT_DEATH(stream.Write(0, Token(2), TokenOrigin::kSampled), "max_new_tokens_");
  EXPECT_DEATH(stream.Write(2, Token(2), TokenOrigin::kSampled), "num_sequences_");
  EXPECT_DEATH(stream.Admit({}), "records_.empty");
  stream.EndSequence(0, FinishReason::kStop);
  EXPECT_DEATH(stream.EndSequence(0, FinishReason::kStop), "kEnded");
  EXPECT_DEATH(stream.Write(0, Token(2), TokenOrigin::kSampled), "kEnded");
  EXPECT_DEATH(stream.End(), "num_ended_");
  stream.EndSequence(1, FinishReason::kStop);
  stream.End();
  EXPECT_DEATH(stream.End(), "ended_");
}

TEST(TokenStreamDeathTest, MoreLogprobsThanWereAskedForHaveNoRoom) {
  Request request = MakeRequest(1, 1);
  request.sampling.num_logprobs = 1;
  TokenStream stream(request, nullptr);
  SampledToken token = Token(1);
  token.top_logprobs.resize(2);
  EXPECT_DEATH(stream.Write(0, token, TokenOrigin::kSampled), "top_logprobs");
}

}  // namespace
}  // namespace hadal
