#include "scheduler/scheduler_loop.h"

#include <algorithm>
#include <pthread.h>
#include <utility>
#include <variant>

#include <absl/strings/str_format.h>

#include "base/check.h"
#include "base/log.h"

namespace hadal {
namespace {

constexpr absl::Duration kNoWait = absl::ZeroDuration();
}  // namespace

absl::StatusOr<std::unique_ptr<SchedulerLoop>> SchedulerLoop::Create(Args args) {
  RETURN_IF_ERROR(ValidateLimits(args.limits));
  Log(LogLevel::kInfo, "limits: " + Describe(args.limits));
  return std::unique_ptr<SchedulerLoop>(new SchedulerLoop(std::move(args)));
}

SchedulerLoop::SchedulerLoop(Args args)
    : limits_(args.limits),
      executor_(args.executor),
      clock_(args.clock),
      observe_(std::move(args.observe)),
      observe_idle_(std::move(args.observe_idle)),
      mailbox_(limits_),
      beat_(2 * clock_.Now().time_since_epoch().count()),
      scheduler_(limits_),
      input_(ReserveStepInput(limits_)) {
  output_.health.reserve(static_cast<size_t>(limits_.max_running_sequences));
  output_.samples.reserve(static_cast<size_t>(limits_.max_running_sequences));
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), "sched");
}

SchedulerLoop::~SchedulerLoop() {
  mailbox_.Stop();
  thread_.join();
}

// The caller's thread does what costs time: hashing the prompt and reserving memory.
absl::StatusOr<std::shared_ptr<TokenStream>> SchedulerLoop::Submit(Request request,
                                                                   TokenStream::Listener listener) {
  RETURN_IF_ERROR(ValidateRequest(limits_, request));
  RETURN_IF_ERROR(mailbox_.CheckRoom(request.id, std::ssize(request.prompt)));
  auto stream = std::make_shared<TokenStream>(request, std::move(listener));
  auto live = std::make_unique<LiveRequest>(std::move(request));
  live->stream = stream;
  RETURN_IF_ERROR(mailbox_.Submit(std::move(live)));
  return stream;
}

void SchedulerLoop::Cancel(RequestId id) {
  mailbox_.Cancel(id);
}

void SchedulerLoop::StopSequence(RequestId id, int32_t sequence) {
  mailbox_.StopSequence(id, sequence);
}

Heartbeat SchedulerLoop::heartbeat() const {
  const Duration::rep beat = beat_.load(std::memory_order_acquire);
  return {.num_steps = num_steps_.load(std::memory_order_relaxed),
          .in_step = beat % 2 != 0,
          .since = TimePoint(Duration(beat / 2))};
}

void SchedulerLoop::Drain() {
  mailbox_.Drain();
}

void SchedulerLoop::Run() {
  while (RunOnce()) {
  }
}

// One step, or one wait for messages. False when the loop is over.
bool SchedulerLoop::RunOnce() {
  const TimePoint begin = clock_.Now();
  const StepPlan& plan = scheduler_.Plan(begin);
  if (!plan.empty()) {
    RunStep(plan, begin);
    return true;
  }
  CHECK(scheduler_.idle());
  if (observe_idle_ != nullptr) {
    observe_idle_(scheduler_.counts());
  }
  Deliver();
  if (draining_) {
    mailbox_.FinishDrain();
  }
  if (stopping_) {
    return false;
  }
  TakeMessages(absl::InfiniteDuration());
  return true;
}

void SchedulerLoop::RunStep(const StepPlan& plan, TimePoint begin) {
  Beat(StepState::kInStep, begin);
  StepReport report;
  report.num_tokens = plan.num_tokens;
  report.num_drafts = plan.num_drafts;
  report.num_sequences = std::ssize(plan.parts);
  BuildStepInput(plan, input_);
  report.plan_time = clock_.Now() - begin;

  executor_.Submit(input_);
  Deliver();  // before Wait writes to output_ again
  TakeMessages(kNoWait);
  const absl::Status status = executor_.Wait(output_);
  TakeMessages(kNoWait);  // what arrived meanwhile takes part in the next step

  const TimePoint apply_begin = clock_.Now();
  scheduler_.Apply(status, output_, apply_begin);
  const TimePoint end = clock_.Now();
  num_steps_.fetch_add(1, std::memory_order_relaxed);
  Beat(StepState::kBetweenSteps, end);
  report.apply_time = end - apply_begin;
  report.step_time = end - begin;
  report.failed = !status.ok();
  if (report.failed) {
    Log(LogLevel::kWarning,
        absl::StrFormat("a step of %d sequences and %d tokens failed, and their requests with it: "
                        "%s",
                        report.num_sequences,
                        report.num_tokens,
                        status.ToString()));
  } else {
    report.num_not_finite = std::ranges::count(output_.health, RowHealth::kNotFinite);
    report.forward_time = output_.forward_time;
    report.sample_time = output_.sample_time;
    report.draft_time = output_.draft_time;
    report.stats = &output_.stats;
  }
  if (observe_ != nullptr) {
    report.counts = scheduler_.counts();
    observe_(report);
  }
}

void SchedulerLoop::Beat(StepState state, TimePoint time) {
  beat_.store(2 * time.time_since_epoch().count() + (state == StepState::kInStep ? 1 : 0),
              std::memory_order_release);
}

void SchedulerLoop::TakeMessages(absl::Duration timeout) {
  mailbox_.Take(timeout, messages_);
  for (LoopMessage& message : messages_) {
    if (auto* submit = std::get_if<SubmitRequest>(&message)) {
      Add(std::move(submit->request));
    } else if (const auto* cancel = std::get_if<CancelRequest>(&message)) {
      scheduler_.Cancel(cancel->id);
    } else if (const auto* stop = std::get_if<StopSequenceRequest>(&message)) {
      scheduler_.StopSequence(stop->id, stop->sequence);
    } else {
      draining_ = true;
      stopping_ = stopping_ || std::holds_alternative<StopRequest>(message);
    }
  }
}

// The mailbox lets in only what the scheduler takes; yet a stream must end whatever happens.
void SchedulerLoop::Add(std::unique_ptr<LiveRequest> request) {
  const RequestId id = request->request.id;
  const int32_t num_sequences = request->request.num_sequences;
  const std::shared_ptr<TokenStream> stream = request->stream;
  const absl::Status status = scheduler_.Add(std::move(request), clock_.Now());
  if (status.ok()) {
    return;
  }
  Log(LogLevel::kError, absl::StrFormat("the scheduler refused a request: %s", status.ToString()));
  mailbox_.Forget(id);
  for (int32_t i = 0; i < num_sequences; ++i) {
    stream->EndSequence(i, FinishReason::kFailed);
  }
  stream->End();
}

void SchedulerLoop::Deliver() {
  for (const Event& event : scheduler_.events()) {
    Deliver(event);
  }
  scheduler_.ClearEvents();
}

void SchedulerLoop::Deliver(const Event& event) {
  const RequestId id = event.request->request.id;
  TokenStream& stream = *event.request->stream;
  switch (event.kind) {
    case Event::Kind::kAdmitted:
      mailbox_.Admit(id);
      stream.Admit(event.request->cache);
      return;
    case Event::Kind::kToken:
      stream.Write(event.sequence, *event.token, event.origin);
      return;
    case Event::Kind::kSequenceEnded:
      stream.EndSequence(event.sequence, event.reason);
      return;
    case Event::Kind::kRequestEnded:
      // First, so that who sees the end finds the place free. No message is taken in until the
      // scheduler has forgotten the request as well.
      mailbox_.Forget(id);
      stream.End();
      return;
  }
}

}  // namespace hadal
