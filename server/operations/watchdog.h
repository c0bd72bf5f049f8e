#pragma once

#include <functional>
#include <memory>

#include "base/clock.h"
#include "scheduler/scheduler_loop.h"

namespace hadal {

/// Looks at the scheduler loop's heartbeat on a thread of its own, `watchdog`, and calls `on_stuck`
/// once when a step has been under way for longer than max(patience, 20 times the 99th percentile
/// of the last 1024 steps). A loop that has nothing to do is never stuck. Ages are those of
/// `clock`; how often it looks is real time.
///
///   const auto watchdog = Watchdog::Start({.heartbeat = [&] { return loop.heartbeat(); }, ...});
///   ...                                          // watchdog->ObserveStep(report.step_time)
///
/// Destruction stops it.
class Watchdog {
 public:
  struct Args {
    std::function<Heartbeat()> heartbeat;  // any thread
    const Clock& clock;
    Duration patience = std::chrono::seconds(10);
    std::function<void(Duration step_age)> on_stuck;  // on the watchdog's thread
  };

  static std::unique_ptr<Watchdog> Start(Args args);
  virtual ~Watchdog() = default;
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  /// A step ended that took `step_time`. One thread at a time, that of the loop; never waits.
  virtual void ObserveStep(Duration step_time) = 0;

  /// Looks no more: joins the thread, after which `heartbeat` is not called. Idempotent; not from
  /// inside `on_stuck`.
  virtual void Stop() = 0;

 protected:
  Watchdog() = default;
};

}  // namespace hadal
