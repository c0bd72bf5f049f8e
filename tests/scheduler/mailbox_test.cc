#include "scheduler/mailbox.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

namespace hadal {
namespace {

std::unique_ptr<LiveRequest> MakeRequest(int64_t id, int64_t num_prompt_tokens) {
  Request request;
  request.id = RequestId{id};
  request.prompt.assign(num_prompt_tokens, 7);
  return std::make_unique<LiveRequest>(std::move(request));
}

Limits MakeLimits(int64_t max_requests, int64_t max_waiting_tokens) {
  Limits limits;
  limits.max_requests = max_requests;
  limits.max_waiting_tokens = max_waiting_tokens;
  return limits;
}

std::vector<LoopMessage> TakeAll(Mailbox& mailbox) {
  std::vector<LoopMessage> messages;
  mailbox.Take(absl::ZeroDuration(), messages);
  return messages;
}

bool IsSubmit(const LoopMessage& message, int64_t id) {
  const auto* submit = std::get_if<SubmitRequest>(&message);
  return submit != nullptr && submit->request->request.id == RequestId{id};
}

bool IsCancel(const LoopMessage& message, int64_t id) {
  const auto* cancel = std::get_if<CancelRequest>(&message);
  return cancel != nullptr && cancel->id == RequestId{id};
}

TEST(MailboxTest, MessagesComeInOrderAndOnce) {
  Mailbox mailbox(MakeLimits(10, 100));
  EXPECT_TRUE(TakeAll(mailbox).empty());
  ASSERT_TRUE(mailbox.Submit(MakeRequest(1, 3)).ok());
  ASSERT_TRUE(mailbox.Submit(MakeRequest(2, 4)).ok());
  mailbox.Cancel(RequestId{1});
  const std::vector<LoopMessage> messages = TakeAll(mailbox);
  ASSERT_EQ(messages.size(), 3U);
  EXPECT_TRUE(IsSubmit(messages[0], 1));
  EXPECT_TRUE(IsSubmit(messages[1], 2));
  EXPECT_TRUE(IsCancel(messages[2], 1));
  EXPECT_TRUE(TakeAll(mailbox).empty());
  EXPECT_EQ(mailbox.num_live(), 2);
  EXPECT_EQ(mailbox.num_waiting_tokens(), 7);
}

TEST(MailboxTest, RequestsAreRefusedAtTheLimitUntilOneIsForgotten) {
  Mailbox mailbox(MakeLimits(2, 100));
  ASSERT_TRUE(mailbox.Submit(MakeRequest(1, 1)).ok());
  ASSERT_TRUE(mailbox.Submit(MakeRequest(2, 1)).ok());
  const absl::Status refused = mailbox.Submit(MakeRequest(3, 1));
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(MessageOf(refused), "max_requests: 2 requests are live already");
  TakeAll(mailbox);
  mailbox.Admit(RequestId{1});
  EXPECT_FALSE(mailbox.Submit(MakeRequest(3, 1)).ok());
  mailbox.Forget(RequestId{1});
  EXPECT_TRUE(mailbox.Submit(MakeRequest(3, 1)).ok());
}

TEST(MailboxTest, WaitingTokensAreFreedByAdmissionAndByTheEnd) {
  Mailbox mailbox(MakeLimits(10, 10));
  ASSERT_TRUE(mailbox.Submit(MakeRequest(1, 6)).ok());
  ASSERT_TRUE(mailbox.Submit(MakeRequest(2, 4)).ok());
  const absl::Status refused = mailbox.Submit(MakeRequest(3, 1));
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(MessageOf(refused),
            "max_waiting_tokens: 10 prompt tokens wait already, and 1 more would exceed 10");
  EXPECT_EQ(mailbox.num_live(), 2);
  mailbox.Admit(RequestId{1});
  EXPECT_EQ(mailbox.num_waiting_tokens(), 4);
  mailbox.Forget(RequestId{1});
  mailbox.Forget(RequestId{2});  // was never admitted
  EXPECT_EQ(mailbox.num_waiting_tokens(), 0);
  EXPECT_TRUE(mailbox.Submit(MakeRequest(3, 10)).ok());
}

TEST(MailboxTest, AnIdIsFreeAgainOnceForgotten) {
  Mailbox mailbox(MakeLimits(10, 100));
  ASSERT_TRUE(mailbox.Submit(MakeRequest(1, 1)).ok());
  EXPECT_EQ(mailbox.Submit(MakeRequest(1, 1)).code(), absl::StatusCode::kAlreadyExists);
  mailbox.Forget(RequestId{1});
  EXPECT_TRUE(mailbox.Submit(MakeRequest(1, 1)).ok());
}

TEST(MailboxTest, CancelsDoNotPileUp) {
  Mailbox mailbox(MakeLimits(10, 100));
  ASSERT_TRUE(mailbox.Submit(MakeRequest(1, 1)).ok());
  for (int64_t i = 0; i < 1000; ++i) {
    mailbox.Cancel(RequestId{1});
    mailbox.Cancel(RequestId{2 + i});  // not live
  }
  EXPECT_EQ(TakeAll(mailbox).size(), 2U);
  mailbox.Cancel(RequestId{1});
  EXPECT_TRUE(TakeAll(mailbox).empty());
  mailbox.Forget(RequestId{1});
  mailbox.Cancel(RequestId{1});
  EXPECT_TRUE(TakeAll(mailbox).empty());

  ASSERT_TRUE(mailbox.Submit(MakeRequest(1, 1)).ok());
  mailbox.Cancel(RequestId{1});
  EXPECT_EQ(TakeAll(mailbox).size(), 2U);
}

TEST(MailboxTest, ASequenceIsStoppedOnce) {
  Mailbox mailbox(MakeLimits(10, 100));
  Request two = MakeRequest(1, 1)->request;
  two.num_sequences = 2;
  ASSERT_TRUE(mailbox.Submit(std::make_unique<LiveRequest>(std::move(two))).ok());
  for (int32_t i = 0; i < 1000; ++i) {
    mailbox.StopSequence(RequestId{1}, i);  // there are two
    mailbox.StopSequence(RequestId{1}, 1);
    mailbox.StopSequence(RequestId{1}, -i);
    mailbox.StopSequence(RequestId{2}, 0);  // not live
  }
  const std::vector<LoopMessage> messages = TakeAll(mailbox);
  ASSERT_EQ(messages.size(), 3U);
  EXPECT_TRUE(IsSubmit(messages[0], 1));
  for (int32_t i = 0; i < 2; ++i) {
    const auto* stop = std::get_if<StopSequenceRequest>(&messages[static_cast<size_t>(1 + i)]);
    ASSERT_NE(stop, nullptr);
    EXPECT_EQ(stop->id, RequestId{1});
    EXPECT_EQ(stop->sequence, i);
  }
  mailbox.StopSequence(RequestId{1}, 0);
  EXPECT_TRUE(TakeAll(mailbox).empty());
  mailbox.Forget(RequestId{1});

  ASSERT_TRUE(mailbox.Submit(MakeRequest(1, 1)).ok());
  mailbox.Cancel(RequestId{1});
  mailbox.StopSequence(RequestId{1}, 0);
  EXPECT_EQ(TakeAll(mailbox).size(), 2U) << "what is cancelled need not stop";
}

TEST(MailboxTest, DrainRefusesAndWaitsForTheLoop) {
  Mailbox mailbox(MakeLimits(10, 100));
  ASSERT_TRUE(mailbox.Submit(MakeRequest(1, 1)).ok());
  std::atomic<bool> drained = false;
  std::thread first([&] {
    mailbox.Drain();
    drained = true;
  });
  std::thread second([&] { mailbox.Drain(); });
  std::vector<LoopMessage> all;
  while (std::none_of(all.begin(), all.end(), [](const LoopMessage& message) {
    return std::holds_alternative<DrainRequest>(message);
  })) {
    std::vector<LoopMessage> messages;
    mailbox.Take(absl::InfiniteDuration(), messages);
    std::move(messages.begin(), messages.end(), std::back_inserter(all));
  }
  EXPECT_EQ(all.size(), 2U);  // one drain for both
  EXPECT_EQ(mailbox.Submit(MakeRequest(2, 1)).code(), absl::StatusCode::kUnavailable);
  mailbox.Cancel(RequestId{1});
  EXPECT_EQ(TakeAll(mailbox).size(), 1U);
  EXPECT_FALSE(drained);
  mailbox.Forget(RequestId{1});
  mailbox.FinishDrain();
  first.join();
  second.join();
  mailbox.Drain();  // returns at once
}

TEST(MailboxTest, StopCancelsWhatIsLive) {
  Mailbox mailbox(MakeLimits(10, 100));
  for (int64_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(mailbox.Submit(MakeRequest(i, 1)).ok());
  }
  mailbox.Cancel(RequestId{1});
  mailbox.Stop();
  mailbox.Stop();
  const std::vector<LoopMessage> messages = TakeAll(mailbox);
  ASSERT_EQ(messages.size(), 7U);
  EXPECT_EQ(std::count_if(messages.begin(),
                          messages.end(),
                          [](const LoopMessage& message) {
                            return std::holds_alternative<CancelRequest>(message);
                          }),
            3);
  EXPECT_TRUE(std::holds_alternative<StopRequest>(messages.back()));
  EXPECT_EQ(mailbox.Submit(MakeRequest(4, 1)).code(), absl::StatusCode::kUnavailable);
}

// Threads submit as fast as they can while the loop's side keeps freeing places: at no time may
// more be live than the limits say, and what was let in must arrive.
TEST(MailboxTest, ABurstNeverExceedsTheLimits) {
  constexpr int64_t kNumThreads = 8;
  constexpr int64_t kNumSubmits = 2000;
  constexpr int64_t kMaxRequests = 5;
  constexpr int64_t kMaxTokens = 40;
  Mailbox mailbox(MakeLimits(kMaxRequests, kMaxTokens));
  std::atomic<int64_t> num_accepted = 0;
  std::atomic<int64_t> num_done = 0;
  std::vector<std::thread> threads;
  for (int64_t thread = 0; thread < kNumThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int64_t i = 0; i < kNumSubmits; ++i) {
        const int64_t id = thread * kNumSubmits + i;
        const absl::Status status = mailbox.Submit(MakeRequest(id, 1 + i % 20));
        if (status.ok()) {
          ++num_accepted;
        } else {
          EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
        }
        mailbox.StopSequence(RequestId{id}, 0);
        mailbox.Cancel(RequestId{id});
      }
      ++num_done;
    });
  }
  int64_t num_arrived = 0;
  int64_t num_cancelled = 0;
  std::vector<LoopMessage> messages;
  std::vector<std::unique_ptr<LiveRequest>> live;
  bool done = false;
  while (!done) {
    done = num_done == kNumThreads;
    mailbox.Take(absl::Milliseconds(1), messages);
    EXPECT_LE(std::ssize(messages), 5 * kMaxRequests);  // with those to forgotten ones
    for (LoopMessage& message : messages) {
      if (auto* submit = std::get_if<SubmitRequest>(&message)) {
        live.push_back(std::move(submit->request));
        ++num_arrived;
      } else if (std::holds_alternative<CancelRequest>(message)) {
        ++num_cancelled;
      }
    }
    EXPECT_LE(std::ssize(live), kMaxRequests);
    int64_t num_tokens = 0;
    for (const auto& request : live) {
      num_tokens += request->num_prompt_tokens();
    }
    EXPECT_LE(num_tokens, kMaxTokens);
    for (const auto& request : live) {
      if (request->num_prompt_tokens() % 2 == 0) {
        mailbox.Admit(request->request.id);
      }
      mailbox.Forget(request->request.id);
    }
    live.clear();
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(num_arrived, num_accepted);
  EXPECT_GT(num_arrived, 0);
  EXPECT_LE(num_cancelled, num_arrived);
  EXPECT_EQ(mailbox.num_live(), 0);
  EXPECT_EQ(mailbox.num_waiting_tokens(), 0);
}

TEST(MailboxDeathTest, OnlyLiveRequestsAreAdmittedAndForgotten) {
  Mailbox mailbox(MakeLimits(10, 100));
  EXPECT_DEATH(mailbox.Forget(RequestId{1}), "live_.end");
  EXPECT_DEATH(mailbox.Admit(RequestId{1}), "live_.end");
  ASSERT_TRUE(mailbox.Submit(MakeRequest(1, 1)).ok());
  mailbox.Admit(RequestId{1});
  EXPECT_DEATH(mailbox.Admit(RequestId{1}), "num_waiting_tokens");
  EXPECT_DEATH(mailbox.FinishDrain(), "draining_");
}

}  // namespace
}  // namespace hadal
