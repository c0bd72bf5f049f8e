#include "server/operations/watchdog.h"

#include <chrono>
#include <memory>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hadal {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

// A loop that does what it is told, and what the watchdog made of it.
class WatchdogTest : public testing::Test {
 protected:
  void Start(Duration patience) {
    watchdog_ = Watchdog::Start({.heartbeat = [this] { return Look(); },
                                 .clock = clock_,
                                 .patience = patience,
                                 .on_stuck = [this](Duration age) { OnStuck(age); }});
  }

  void BeginStep() {
    const absl::MutexLock lock(&mutex_);
    heartbeat_.in_step = true;
    heartbeat_.since = clock_.Now();
  }

  void EndStep() {
    const absl::MutexLock lock(&mutex_);
    heartbeat_.in_step = false;
    heartbeat_.since = clock_.Now();
    ++heartbeat_.num_steps;
  }

  // Returns when the watchdog has looked since, and has judged what it saw.
  void WaitForALook() {
    const absl::MutexLock lock(&mutex_);
    const int64_t enough = num_looks_ + 2;
    const auto looked = [this, enough]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return num_looks_ >= enough || !ages_.empty();
    };
    mutex_.Await(absl::Condition(&looked));
  }

  std::vector<Duration> WaitUntilStuck() {
    const absl::MutexLock lock(&mutex_);
    const auto is_stuck = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !ages_.empty(); };
    mutex_.Await(absl::Condition(&is_stuck));
    return ages_;
  }

  std::vector<Duration> ages() {
    const absl::MutexLock lock(&mutex_);
    return ages_;
  }

  VirtualClock clock_;

 private:
  Heartbeat Look() {
    const absl::MutexLock lock(&mutex_);
    ++num_looks_;
    return heartbeat_;
  }

  void OnStuck(Duration age) {
    const absl::MutexLock lock(&mutex_);
    ages_.push_back(age);
  }

  absl::Mutex mutex_;
  Heartbeat heartbeat_ ABSL_GUARDED_BY(mutex_);
  int64_t num_looks_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<Duration> ages_ ABSL_GUARDED_BY(mutex_);

 protected:
  std::unique_ptr<Watchdog> watchdog_;  // ends before what it looks at
};

TEST_F(WatchdogTest, AStepThatDoesNotEndIsNoticedOnce) {
  Start(milliseconds(20));
  BeginStep();
  clock_.Advance(milliseconds(20));
  WaitForALook();
  EXPECT_THAT(ages(), IsEmpty()) << "not yet longer than its patience";
  clock_.Advance(milliseconds(1));
  EXPECT_THAT(WaitUntilStuck(), ElementsAre(milliseconds(21)));
  clock_.Advance(seconds(100));
  watchdog_.reset();
  EXPECT_THAT(ages(), ElementsAre(milliseconds(21)));
}

TEST_F(WatchdogTest, ALoopThatHasNothingToDoIsNeverStuck) {
  Start(milliseconds(20));
  BeginStep();
  EndStep();
  clock_.Advance(std::chrono::hours(24));
  WaitForALook();
  EXPECT_THAT(ages(), IsEmpty());
}

TEST_F(WatchdogTest, ABusyLoopThatProgressesIsNeverStuck) {
  Start(milliseconds(20));
  for (int i = 0; i < 10; ++i) {
    BeginStep();
    clock_.Advance(milliseconds(20));
    WaitForALook();
    EndStep();
  }
  EXPECT_THAT(ages(), IsEmpty());
}

TEST_F(WatchdogTest, SlowStepsGiveLateOnesMoreTime) {
  Start(milliseconds(20));
  for (int i = 0; i < 100; ++i) {
    watchdog_->ObserveStep(milliseconds(i < 98 ? 1 : 50));  // the 99th percentile is 50 ms
  }
  BeginStep();
  clock_.Advance(milliseconds(1000));
  WaitForALook();
  EXPECT_THAT(ages(), IsEmpty()) << "20 times 50 ms have not passed";
  clock_.Advance(milliseconds(1));
  EXPECT_THAT(WaitUntilStuck(), ElementsAre(milliseconds(1001)));
}

TEST_F(WatchdogTest, ASingleSlowStepAmongManyDoesNotCount) {
  Start(milliseconds(20));
  for (int i = 0; i < 1000; ++i) {
    watchdog_->ObserveStep(i == 500 ? seconds(60) : Duration(milliseconds(1)));
  }
  BeginStep();
  clock_.Advance(milliseconds(21));
  EXPECT_THAT(WaitUntilStuck(), ElementsAre(milliseconds(21)));
}

TEST_F(WatchdogTest, OldStepsAreForgotten) {
  Start(milliseconds(20));
  for (int i = 0; i < 1024; ++i) {
    watchdog_->ObserveStep(seconds(60));
  }
  for (int i = 0; i < 1024; ++i) {
    watchdog_->ObserveStep(milliseconds(1));
  }
  BeginStep();
  clock_.Advance(milliseconds(21));
  EXPECT_THAT(WaitUntilStuck(), ElementsAre(milliseconds(21)));
}

TEST_F(WatchdogTest, ItEndsWhileAStepIsUnderWay) {
  Start(seconds(10));
  BeginStep();
  watchdog_.reset();
  EXPECT_THAT(ages(), IsEmpty());
}

}  // namespace
}  // namespace hadal
