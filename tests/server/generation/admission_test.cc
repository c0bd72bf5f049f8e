#include "server/generation/admission.h"

#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/operations/server_metrics.h"

namespace hadal {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Load kLimits = {.requests = 4, .prompt_tokens = 100, .body_bytes = 1000};

class AdmissionTest : public testing::Test {
 protected:
  VirtualClock clock_;
  std::unique_ptr<ServerMetrics> metrics_ = ServerMetrics::Create({});
  Admission admission_{kLimits, clock_, *metrics_};
};

TEST_F(AdmissionTest, TakesUpToEachLimitAndNotMore) {
  const auto expect_limit = [this](Load at, Load above, const char* what) {
    Admission admission(kLimits, clock_, *metrics_);
    const auto waiting = admission.Reserve({.prompt_tokens = 1});
    ASSERT_TRUE(waiting.ok());
    const auto refused = admission.Reserve(above);
    EXPECT_TRUE(absl::IsResourceExhausted(refused.status())) << refused.status();
    EXPECT_THAT(std::string(MessageOf(refused.status())), testing::HasSubstr(what));
    EXPECT_EQ(admission.held().requests, 0) << "a refusal holds nothing";
    EXPECT_TRUE(admission.Reserve(at).ok());
  };
  expect_limit({.requests = 4}, {.requests = 5}, "4 requests");
  expect_limit({.prompt_tokens = 99}, {.prompt_tokens = 100}, "100 prompt tokens");
  expect_limit({.body_bytes = 1000}, {.body_bytes = 1001}, "1000 bytes");
}

TEST_F(AdmissionTest, OnePromptMayBeLongerThanTheLimitWhenNoneWaits) {
  auto alone = admission_.Reserve({.requests = 1, .prompt_tokens = 500});
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_TRUE(
      absl::IsResourceExhausted(admission_.Reserve({.requests = 1, .prompt_tokens = 1}).status()));
  // Its own tokens are not those of others.
  EXPECT_TRUE(alone->Change({.requests = 1, .prompt_tokens = 600}).ok());
}

TEST_F(AdmissionTest, WhatEndsIsGivenBack) {
  {
    auto first = admission_.Reserve({.requests = 3, .prompt_tokens = 50, .body_bytes = 900});
    ASSERT_TRUE(first.ok());
    Admission::Reservation second = *std::move(first);
    Admission::Reservation part = second.Split({.requests = 1, .prompt_tokens = 20});
    EXPECT_EQ(admission_.held().requests, 3);
    second.Release();
    EXPECT_EQ(admission_.held().requests, 1);
    EXPECT_EQ(admission_.held().prompt_tokens, 20);
    EXPECT_EQ(admission_.held().body_bytes, 0);
  }
  EXPECT_EQ(admission_.held().requests, 0);
  EXPECT_EQ(admission_.held().prompt_tokens, 0);
}

TEST_F(AdmissionTest, AChangeThatIsRefusedChangesNothing) {
  auto first = admission_.Reserve({.requests = 3});
  auto second = admission_.Reserve({.requests = 1, .body_bytes = 10});
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_TRUE(absl::IsResourceExhausted(second->Change({.requests = 2})));
  EXPECT_EQ(second->load().requests, 1);
  EXPECT_EQ(admission_.held().body_bytes, 10);
  EXPECT_TRUE(first->Change({.requests = 2}).ok());
  EXPECT_TRUE(second->Change({.requests = 2}).ok());
}

TEST_F(AdmissionTest, DrainingRefusesNewOnesAlone) {
  auto held = admission_.Reserve({.requests = 1});
  ASSERT_TRUE(held.ok());
  admission_.BeginDrain();
  EXPECT_TRUE(absl::IsUnavailable(admission_.Reserve({.requests = 1}).status()));
  EXPECT_TRUE(held->Change({.requests = 2}).ok());
}

TEST_F(AdmissionTest, RetryAfterIsWhatWaitsByTheMeasuredRate) {
  // 20 prompt tokens a second are begun, for a minute.
  for (int i = 0; i < 60; ++i) {
    auto prompt = admission_.Reserve({.requests = 1, .prompt_tokens = 20});
    ASSERT_TRUE(prompt.ok());
    clock_.Advance(seconds(1));
  }
  const auto waiting = admission_.Reserve({.requests = 1, .prompt_tokens = 90});
  ASSERT_TRUE(waiting.ok());
  EXPECT_GE(admission_.RetryAfterSeconds(), 4);  // 90 / 20 = 4.5
  EXPECT_LE(admission_.RetryAfterSeconds(), 6);
}

TEST_F(AdmissionTest, RetryAfterIsBoundedHoweverSlowTheServer) {
  EXPECT_EQ(admission_.RetryAfterSeconds(), 1) << "nothing waits";
  const auto waiting = admission_.Reserve({.requests = 4, .prompt_tokens = 100});
  ASSERT_TRUE(waiting.ok());
  EXPECT_EQ(admission_.RetryAfterSeconds(), 60) << "nothing has ever ended";
  clock_.Advance(seconds(3600));
  EXPECT_EQ(admission_.RetryAfterSeconds(), 60);
}

TEST_F(AdmissionTest, ManyThreadsNeverExceedALimit) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this] {
      for (int k = 0; k < 2000; ++k) {
        const auto reservation = admission_.Reserve({.requests = 1 + k % 3, .body_bytes = 300});
        const Load held = admission_.held();
        EXPECT_LE(held.requests, kLimits.requests);
        EXPECT_LE(held.body_bytes, kLimits.body_bytes);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(admission_.held().requests, 0);
  EXPECT_EQ(admission_.held().body_bytes, 0);
}

}  // namespace
}  // namespace hadal
