#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include <absl/time/time.h>

#include "base/clock.h"
#include "base/status.h"
#include "engine/api/executor.h"
#include "scheduler/limits.h"
#include "scheduler/mailbox.h"
#include "scheduler/request.h"
#include "scheduler/scheduler.h"
#include "scheduler/step_plan.h"
#include "scheduler/token_stream.h"

namespace hadal {

/// Where the time of a step went, and how things stood after it.
struct StepReport {
  Duration plan_time{};     // Plan and building the batch
  Duration forward_time{};  // StepOutput's
  Duration sample_time{};
  Duration draft_time{};
  Duration apply_time{};
  Duration step_time{};    // from Plan to the end of Apply
  int64_t num_tokens = 0;  // computed
  int64_t num_drafts = 0;  // of these
  int64_t num_sequences = 0;
  int64_t num_not_finite = 0;  // of the sequences: their numbers were not finite
  bool failed = false;
  SchedulerCounts counts;
  const StepStats* stats =
      nullptr;  // the executor's; valid until `observe` returns; null if failed
};

/// How the loop is getting on.
struct Heartbeat {
  int64_t num_steps = 0;  // that have ended, at least
  bool in_step = false;   // one is under way
  TimePoint since{};      // when it began, or when the last one ended, or the loop was made
};

/// Drives a Scheduler and an Executor on a thread of its own, `sched`. While a step runs it hands
/// out the tokens of the step before and takes in what arrived, so that little more than Plan and
/// Apply stands between two steps. What arrives before a step ends takes part in the next.
///
///   ASSIGN_OR_RETURN(auto loop, SchedulerLoop::Create({...}));
///   ASSIGN_OR_RETURN(auto stream, loop->Submit(std::move(request), nullptr));
///   ...                                                 // read the stream
///
/// Without live requests the thread waits for a message. Deadlines are those of `clock`, which need
/// not pass like real time.
class SchedulerLoop {
 public:
  struct Args {
    Limits limits;
    Executor& executor;  // used by the loop's thread alone
    const Clock& clock;
    std::function<void(const StepReport&)>
        observe;  // on the loop's thread after each step; or null
    std::function<void(const SchedulerCounts&)> observe_idle{};  // likewise whenever no request is
                                                                 // live any more: the last may end
                                                                 // without a step
  };

  /// Starts the thread. Borrows executor and clock. InvalidArgument for bad limits.
  static absl::StatusOr<std::unique_ptr<SchedulerLoop>> Create(Args args);

  SchedulerLoop(const SchedulerLoop&) = delete;
  SchedulerLoop& operator=(const SchedulerLoop&) = delete;

  /// Cancels what is live, waits until its streams have ended and joins the thread. REQUIRES: no
  /// other thread is in a call or begins one.
  ~SchedulerLoop();

  /// Hands a request in. What becomes of it is written to the stream, which always ends; `listener`
  /// may be null. InvalidArgument when it can never run; AlreadyExists for the id of a live
  /// request; ResourceExhausted when too many requests or tokens are live or waiting; Unavailable
  /// once draining. An id and its place are free again when the stream says that it has ended. Any
  /// thread.
  absl::StatusOr<std::shared_ptr<TokenStream>> Submit(Request request,
                                                      TokenStream::Listener listener);

  /// Ends a request within one step. Idempotent; unknown and ended ids are ignored, so an id should
  /// not be used again while somebody may still cancel it. Never refused. Any thread.
  void Cancel(RequestId id);

  /// Ends one sequence of a request with kStop, within one step; the others go on. For stop
  /// strings, which only the server sees. Idempotent; unknown and ended ones are ignored. Any
  /// thread.
  void StopSequence(RequestId id, int32_t sequence);

  /// How things stood a moment ago. Any thread; never waits.
  [[nodiscard]] Heartbeat heartbeat() const;

  /// From now on Submit answers Unavailable; returns when all live requests and their streams have
  /// ended. Any thread but the loop's: neither `observe` nor a stream's listener may call it.
  void Drain();

 private:
  enum class StepState : int8_t { kBetweenSteps, kInStep };

  explicit SchedulerLoop(Args args);

  // All below on the loop's thread.
  void Run();
  bool RunOnce();
  void RunStep(const StepPlan& plan, TimePoint begin);
  void Beat(StepState state, TimePoint time);
  void TakeMessages(absl::Duration timeout);
  void Add(std::unique_ptr<LiveRequest> request);
  void Deliver();
  void Deliver(const Event& event);

  const Limits limits_;
  Executor& executor_;
  const Clock& clock_;
  const std::function<void(const StepReport&)> observe_;
  const std::function<void(const SchedulerCounts&)> observe_idle_;
  Mailbox mailbox_;

  // Written by the loop's thread, read by any. `beat_` has the time since the clock's epoch, times
  // two, plus one in a step, so that a reader never sees the time of one state with another.
  std::atomic<Duration::rep> beat_;
  std::atomic<int64_t> num_steps_ = 0;

  // The loop's thread's.
  Scheduler scheduler_;
  StepInput input_;
  StepOutput output_;  // undelivered events borrow from it
  std::vector<LoopMessage> messages_;
  bool draining_ = false;
  bool stopping_ = false;

  std::thread thread_;
};

}  // namespace hadal
