#pragma once

#include <functional>
#include <memory>
#include <thread>

#include "base/clock.h"
#include "base/status.h"
#include "engine/api/executor.h"
#include "scheduler/limits.h"
#include "scheduler/mailbox.h"
#include "scheduler/request.h"
#include "scheduler/scheduler.h"

namespace hadal {

/// Where the time of a step went, and how things stood after it.
struct StepReport {
  Duration plan_time{};     // Plan and building the batch
  Duration forward_time{};  // StepOutput's
  Duration sample_time{};
  Duration apply_time{};
  Duration step_time{};  // from Plan to the end of Apply
  int64_t num_tokens = 0;
  int64_t num_sequences = 0;
  bool failed = false;
  SchedulerCounts counts;
};

/// Drives a Scheduler and an Executor on a thread of its own, `sched`. While a step runs it hands
/// out the tokens of the step before and takes in what arrived, so that only Plan and Apply stand
/// between two steps.
///
///   ASSIGN_OR_RETURN(auto loop, SchedulerLoop::Create({...}));
///   request.stream = std::make_shared<TokenStream>(request);
///   RETURN_IF_ERROR(loop->Submit(std::move(request)));
///   while (stream->Read(timeout, items)) ...
class SchedulerLoop {
 public:
  struct Args {
    Limits limits;
    Executor& executor;
    const Clock& clock;
    std::function<void(const StepReport&)>
        observe;  // on the loop's thread after each step; or null
  };

  /// Starts the thread. Borrows executor and clock. InvalidArgument for bad limits.
  static absl::StatusOr<std::unique_ptr<SchedulerLoop>> Create(Args args);

  /// Cancels what is live and joins the thread.
  ~SchedulerLoop();

  /// Hands a request in, with a stream. What becomes of it is written to the stream, which always
  /// ends. InvalidArgument when it can never run; AlreadyExists for the id of a live request;
  /// ResourceExhausted when too many requests or tokens are live or waiting; Unavailable once
  /// draining. Then the stream stays untouched. Any thread.
  absl::Status Submit(Request request);

  /// Ends a request within one step. Idempotent; unknown and ended ids are ignored. Never refused.
  /// Any thread.
  void Cancel(RequestId id);

  /// From now on Submit answers Unavailable; returns when all live requests have ended. Any thread.
  void Drain();
};

}  // namespace hadal
