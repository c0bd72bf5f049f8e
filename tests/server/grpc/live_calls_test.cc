#include "server/grpc/live_calls.h"

#include <thread>

#include <gtest/gtest.h>

namespace hadal {
namespace {

TEST(LiveCallsTest, WaitsUntilNoneIsLive) {
  LiveCalls calls;
  EXPECT_TRUE(calls.WaitUntilNone(absl::ZeroDuration()));
  calls.Enter();
  calls.Enter();
  EXPECT_FALSE(calls.WaitUntilNone(absl::ZeroDuration()));
  calls.Leave();
  EXPECT_FALSE(calls.WaitUntilNone(absl::ZeroDuration()));
  std::thread last([&calls] { calls.Leave(); });
  EXPECT_TRUE(calls.WaitUntilNone(absl::InfiniteDuration()));
  last.join();
}

TEST(LiveCallsTest, TenantsHaveTheirOwnIds) {
  constexpr TenantId kOne{1};
  constexpr TenantId kTwo{2};
  LiveCalls calls;
  EXPECT_TRUE(calls.AddRequest(kOne, "a", StreamId{10}).ok());
  EXPECT_TRUE(calls.AddRequest(kTwo, "a", StreamId{20}).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(calls.AddRequest(kOne, "a", StreamId{30})));
  EXPECT_EQ(calls.FindRequest(kOne, "a"), StreamId{10});
  EXPECT_EQ(calls.FindRequest(kTwo, "a"), StreamId{20});
  EXPECT_EQ(calls.FindRequest(kOne, "b"), std::nullopt);
  calls.RemoveRequest(kOne, "a");
  EXPECT_EQ(calls.FindRequest(kOne, "a"), std::nullopt);
  EXPECT_EQ(calls.FindRequest(kTwo, "a"), StreamId{20});
  EXPECT_TRUE(calls.AddRequest(kOne, "a", StreamId{30}).ok());
}

}  // namespace
}  // namespace hadal
