#pragma once

#include <functional>
#include <memory>

#include "base/clock.h"
#include "scheduler/scheduler_loop.h"

namespace hadal {

/// Looks at the scheduler loop's heartbeat on a thread of its own, `watchdog`, and calls `on_stuck`
/// once when a step has been under way for longer than max(patience, 20 times the 99th percentile
/// of recent steps). A loop that has nothing to do is never stuck.
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

 protected:
  Watchdog() = default;
};

/// Writes the call stack of every thread of the process to stderr, for people. Waits up to a
/// second.
void DumpStacks();

}  // namespace hadal
