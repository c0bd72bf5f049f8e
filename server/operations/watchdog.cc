#include "server/operations/watchdog.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <pthread.h>
#include <thread>
#include <utility>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "base/check.h"

namespace hadal {
namespace {

constexpr size_t kNumRecentSteps = 1024;
constexpr int64_t kPercentileFactor = 20;  // of the 99th percentile a step may take
constexpr Duration kLongestPause = std::chrono::milliseconds(250);
constexpr Duration kShortestPause = std::chrono::milliseconds(1);

// Twenty looks in the time that makes a step late, within bounds.
absl::Duration PauseFor(Duration patience) {
  return absl::FromChrono(std::clamp(patience / 20, kShortestPause, kLongestPause));
}

class ThreadedWatchdog final : public Watchdog {
 public:
  explicit ThreadedWatchdog(Args args) : args_(std::move(args)) {
    thread_ = std::thread([this] { Run(); });
  }

  ThreadedWatchdog(const ThreadedWatchdog&) = delete;
  ThreadedWatchdog& operator=(const ThreadedWatchdog&) = delete;

  ~ThreadedWatchdog() override { ThreadedWatchdog::Stop(); }

  void Stop() override {
    {
      const absl::MutexLock lock(&mutex_);
      stopping_ = true;
    }
    if (thread_.joinable()) {
      thread_.join();
    }
  }

  void ObserveStep(Duration step_time) override {
    // One writer: a plain sequence of stores. A reader may see the count late, never a value that
    // was not written.
    const uint64_t count = num_steps_.load(std::memory_order_relaxed);
    recent_steps_[count % kNumRecentSteps].store(step_time.count(), std::memory_order_relaxed);
    num_steps_.store(count + 1, std::memory_order_release);
  }

 private:
  void Run() {
    pthread_setname_np(pthread_self(), "watchdog");
    while (true) {
      {
        const absl::MutexLock lock(&mutex_);
        if (mutex_.AwaitWithTimeout(absl::Condition(&stopping_), PauseFor(args_.patience))) {
          return;
        }
      }
      // The clock is read first: when this thread has to wait between the two, the age comes out
      // too low and never too high.
      const TimePoint now = args_.clock.Now();
      const Heartbeat heartbeat = args_.heartbeat();
      const Duration age = now - heartbeat.since;
      if (heartbeat.in_step && age > args_.patience && age > kPercentileFactor * SlowStepTime()) {
        args_.on_stuck(age);
        return;
      }
    }
  }

  // The 99th percentile of recent steps; zero before the first has ended.
  [[nodiscard]] Duration SlowStepTime() const {
    const uint64_t count = std::min(num_steps_.load(std::memory_order_acquire),
                                    static_cast<uint64_t>(kNumRecentSteps));
    if (count == 0) {
      return Duration::zero();
    }
    std::vector<Duration::rep> times(count);
    for (size_t i = 0; i < count; ++i) {
      times[i] = recent_steps_[i].load(std::memory_order_relaxed);
    }
    const auto slow = times.begin() + static_cast<int64_t>((count - 1) * 99 / 100);
    std::nth_element(times.begin(), slow, times.end());
    return Duration(*slow);
  }

  const Args args_;
  std::array<std::atomic<Duration::rep>, kNumRecentSteps> recent_steps_ = {};
  std::atomic<uint64_t> num_steps_ = 0;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<Watchdog> Watchdog::Start(Args args) {
  CHECK(args.heartbeat != nullptr);
  CHECK(args.on_stuck != nullptr);
  return std::make_unique<ThreadedWatchdog>(std::move(args));
}

}  // namespace hadal
