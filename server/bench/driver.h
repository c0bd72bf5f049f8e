#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "base/status.h"
#include "engine/api/executor.h"
#include "scheduler/limits.h"
#include "server/bench/report.h"
#include "server/bench/workload.h"

namespace hadal {

/// Runs all requests of a workload through a scheduler loop of its own, and measures.
///
/// With `concurrency` the load is closed: so many requests are in flight, and the next arrives when
/// one ends. Without, it is open: requests arrive at the workload's times, however many are waiting
/// then; latencies count from there even where this thread was late to submit.
///
/// A token's time is taken on the loop's thread as soon as a reader could have it. The errors of
/// SchedulerLoop::Create and Submit; requests that fail later are counted in the report.
struct DriveArgs {
  const Limits& limits;
  Executor& executor;
  const Clock& clock;  // follows the machine's: this thread waits for arrivals
  const Workload& workload;
  std::optional<int64_t> concurrency;  // at least 1
};
absl::StatusOr<BenchReport> Drive(const DriveArgs& args);

}  // namespace hadal
