#pragma once

#include <atomic>
#include <chrono>

namespace hadal {

/// A point on the monotonic time line; only differences mean anything.
using TimePoint = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

inline Duration FromMilliseconds(double milliseconds) {
  return std::chrono::duration_cast<Duration>(
      std::chrono::duration<double, std::milli>(milliseconds));
}

/// Where time comes from. Passed by reference to all that reads time, so that tests can drive it.
/// Any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual TimePoint Now() const = 0;
};

/// The machine's monotonic clock.
class SteadyClock final : public Clock {
 public:
  [[nodiscard]] TimePoint Now() const override { return std::chrono::steady_clock::now(); }
};

/// Time that passes only when it is told to: for simulations and tests. Any thread.
class VirtualClock final : public Clock {
 public:
  [[nodiscard]] TimePoint Now() const override { return TimePoint(since_start_.load()); }
  void Advance(Duration duration) { since_start_.store(since_start_.load() + duration); }

 private:
  std::atomic<Duration> since_start_ = Duration::zero();
};

}  // namespace hadal
