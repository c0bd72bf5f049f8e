#include "server/operations/health.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hadal {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(HealthTest, ProbesFollowTheLifeOfTheServer) {
  Health health;
  EXPECT_TRUE(health.Live().ok);
  EXPECT_FALSE(health.Started().ok);
  EXPECT_EQ(health.Started().body, "starting\n");
  EXPECT_FALSE(health.Ready(false).ok);
  EXPECT_EQ(health.Ready(false).body, "not ready: starting\n");

  health.SetLoadProgress(420, 1000);
  EXPECT_EQ(health.Started().body, "starting, 42 % loaded\n");
  EXPECT_EQ(health.Ready(false).body, "not ready: starting, 42 % loaded\n");

  health.SetPhase(ServerPhase::kServing);
  EXPECT_TRUE(health.Live().ok);
  EXPECT_TRUE(health.Started().ok);
  EXPECT_TRUE(health.Ready(false).ok);
  EXPECT_EQ(health.Ready(false).body, "ok\n");

  health.SetPhase(ServerPhase::kDraining);
  EXPECT_TRUE(health.Live().ok) << "a server that drains must not be restarted";
  EXPECT_TRUE(health.Started().ok);
  EXPECT_EQ(health.Ready(false).body, "not ready: draining\n");

  health.SetPhase(ServerPhase::kAborting);
  EXPECT_FALSE(health.Ready(false).ok);
}

TEST(HealthTest, PhasesGoForwardOnly) {
  Health health;
  std::vector<ServerPhase> seen;
  health.AddListener([&] { seen.push_back(health.phase()); });
  health.SetPhase(ServerPhase::kDraining);
  health.SetPhase(ServerPhase::kServing);
  health.SetPhase(ServerPhase::kDraining);
  health.SetPhase(ServerPhase::kAborting);
  EXPECT_THAT(seen, ElementsAre(ServerPhase::kDraining, ServerPhase::kAborting));
  EXPECT_EQ(health.phase(), ServerPhase::kAborting);
}

TEST(HealthTest, StuckIsForGoodAndSaysWhy) {
  Health health;
  health.SetPhase(ServerPhase::kServing);
  int num_notified = 0;
  health.AddListener([&] { ++num_notified; });
  health.SetStuck("a step takes 12 s");
  health.SetStuck("another reason");
  EXPECT_EQ(num_notified, 1);
  EXPECT_FALSE(health.Live().ok);
  EXPECT_EQ(health.Live().body, "not live: a step takes 12 s\n");
  EXPECT_FALSE(health.Ready(false).ok);
  EXPECT_EQ(health.Ready(false).body, "not ready: a step takes 12 s\n");
  EXPECT_TRUE(health.Started().ok);
}

TEST(HealthTest, StuckWithoutAReasonIsStuck) {
  Health health;
  health.SetStuck("");
  EXPECT_FALSE(health.Live().ok);
}

TEST(HealthTest, VerboseAnswersHaveALineForEachCheck) {
  Health health;
  health.SetPhase(ServerPhase::kServing);
  bool kernels_ok = true;
  health.AddCheck([&] {
    return Health::Check{.name = "kernels",
                         .ok = kernels_ok,
                         .detail = kernels_ok ? "" : "mla_attention was demoted"};
  });
  EXPECT_EQ(health.Ready(true).body, "[+]phase ok: serving\n[+]engine ok\n[+]kernels ok\nready\n");
  kernels_ok = false;
  const Health::Answer answer = health.Ready(true);
  EXPECT_TRUE(answer.ok) << "a check informs only";
  EXPECT_THAT(answer.body, HasSubstr("[-]kernels failed: mla_attention was demoted\n"));
  health.SetStuck("stuck");
  EXPECT_THAT(health.Ready(true).body, HasSubstr("[-]engine failed: stuck\n"));
  EXPECT_THAT(health.Ready(true).body, HasSubstr("\nnot ready\n"));
}

TEST(HealthTest, ChecksAndListenersMayAskHealth) {
  Health health;
  health.AddCheck([&] { return Health::Check{.name = "self", .detail = health.Live().body}; });
  int num_ready = 0;
  health.AddListener([&] { num_ready += health.Ready(true).ok ? 1 : 0; });
  health.SetPhase(ServerPhase::kServing);
  EXPECT_EQ(num_ready, 1);
}

TEST(HealthTest, LoadProgressStaysWithinItsBounds) {
  Health health;
  health.SetLoadProgress(-5, 10);
  EXPECT_EQ(health.Started().body, "starting, 0 % loaded\n");
  health.SetLoadProgress(11, 10);
  EXPECT_EQ(health.Started().body, "starting, 100 % loaded\n");
}

}  // namespace
}  // namespace hadal
