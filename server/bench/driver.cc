#include "server/bench/driver.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "scheduler/scheduler_loop.h"
#include "scheduler/token_stream.h"

namespace hadal {
namespace {

// What the caller's thread and the loop's share. A record belongs to the loop's thread from the
// submission of its request until that thread has ended.
class Measurements {
 public:
  Measurements(const Clock& clock, const Workload& workload)
      : clock_(clock), records_(static_cast<size_t>(workload.num_requests())) {}

  // The caller's thread.

  // The listener of `request`, number `i`, which is about to be submitted.
  TokenStream::Listener Expect(int64_t i, TimePoint arrival, const Request& request) {
    RequestRecord& record = records_[static_cast<size_t>(i)];
    record.num_prompt_tokens = std::ssize(request.prompt);
    record.arrival = arrival;
    record.tokens.reserve(static_cast<size_t>(request.max_new_tokens));
    return [this, &record](TokenStream& stream) { Listen(stream, record); };
  }

  // Waits until something ends or `deadline`; returns how many have ended since the last call.
  int64_t WaitForEnds(TimePoint deadline) {
    const absl::MutexLock lock(&mutex_);
    const auto some = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return num_ended_ > 0; };
    if (deadline == TimePoint::max()) {
      mutex_.Await(absl::Condition(&some));
    } else {
      mutex_.AwaitWithTimeout(absl::Condition(&some), absl::FromChrono(deadline - clock_.Now()));
    }
    return std::exchange(num_ended_, 0);
  }

  // The loop's thread, after each step.
  void Observe(const StepReport& step) { steps_.Add(step); }

  // Once the loop's thread has ended.
  [[nodiscard]] const std::vector<RequestRecord>& records() const { return records_; }
  [[nodiscard]] const StepTotals& steps() const { return steps_; }

 private:
  // The loop's thread: there is something to read, or the request was admitted.
  void Listen(TokenStream& stream, RequestRecord& record) {
    const TimePoint now = clock_.Now();
    items_.clear();
    const bool more = stream.Read(absl::ZeroDuration(), items_);
    if (!record.admitted.has_value()) {
      record.admitted = now;
    }
    for (const TokenStream::Item& item : items_) {
      if (item.end.has_value()) {
        record.reason = *item.end;
      } else {
        record.tokens.push_back(now);
      }
    }
    if (!more) {
      record.num_cached_tokens = stream.cache_report().value_or(CacheReport{}).cached_tokens;
      record.end = now;
      const absl::MutexLock lock(&mutex_);
      ++num_ended_;
    }
  }

  const Clock& clock_;
  std::vector<RequestRecord> records_;    // [num_requests]
  std::vector<TokenStream::Item> items_;  // Listen's
  StepTotals steps_;

  absl::Mutex mutex_;
  int64_t num_ended_ ABSL_GUARDED_BY(mutex_) = 0;  // and not waited for
};

absl::Status RunClosed(const DriveArgs& args, SchedulerLoop& loop, Measurements& measurements) {
  const int64_t num_requests = args.workload.num_requests();
  int64_t num_submitted = 0;
  int64_t num_in_flight = 0;
  Request next = args.workload.MakeRequest(0);  // made while there is nothing else to do
  while (num_submitted < num_requests || num_in_flight > 0) {
    while (num_submitted < num_requests && num_in_flight < *args.concurrency) {
      TokenStream::Listener listener = measurements.Expect(num_submitted, args.clock.Now(), next);
      RETURN_IF_ERROR(loop.Submit(std::exchange(next, {}), std::move(listener)).status());
      ++num_in_flight;
      if (++num_submitted < num_requests) {
        next = args.workload.MakeRequest(num_submitted);
      }
    }
    num_in_flight -= measurements.WaitForEnds(TimePoint::max());
  }
  return absl::OkStatus();
}

absl::Status RunOpen(const DriveArgs& args,
                     TimePoint start,
                     SchedulerLoop& loop,
                     Measurements& measurements) {
  int64_t num_in_flight = 0;
  for (int64_t i = 0; i < args.workload.num_requests(); ++i) {
    Request request = args.workload.MakeRequest(i);
    const TimePoint arrival = start + args.workload.ArrivalOf(i);
    while (args.clock.Now() < arrival) {
      num_in_flight -= measurements.WaitForEnds(arrival);
    }
    TokenStream::Listener listener = measurements.Expect(i, arrival, request);
    RETURN_IF_ERROR(loop.Submit(std::move(request), std::move(listener)).status());
    ++num_in_flight;
  }
  while (num_in_flight > 0) {
    num_in_flight -= measurements.WaitForEnds(TimePoint::max());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<BenchReport> Drive(const DriveArgs& args) {
  Measurements measurements(args.clock, args.workload);
  ASSIGN_OR_RETURN(std::unique_ptr<SchedulerLoop> loop,
                   SchedulerLoop::Create({.limits = args.limits,
                                          .executor = args.executor,
                                          .clock = args.clock,
                                          .observe = [&measurements](const StepReport& step) {
                                            measurements.Observe(step);
                                          }}));
  const TimePoint start = args.clock.Now();
  RETURN_IF_ERROR(args.concurrency.has_value() ? RunClosed(args, *loop, measurements)
                                               : RunOpen(args, start, *loop, measurements));
  loop.reset();  // joins the thread: the last step has been observed
  return MakeBenchReport(measurements.records(), measurements.steps(), start);
}

}  // namespace hadal
