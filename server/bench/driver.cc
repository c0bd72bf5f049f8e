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
      : clock_(clock), records_(static_cast<size_t>(workload.num_requests())) {
    streams_.resize(records_.size());
  }

  // The caller's thread.

  // Gives `request`, number `i`, a stream: it is about to be submitted.
  void Expect(int64_t i, TimePoint arrival, Request& request) {
    request.stream = std::make_shared<TokenStream>(request);
    RequestRecord& record = records_[static_cast<size_t>(i)];
    record.num_prompt_tokens = std::ssize(request.prompt);
    record.arrival = arrival;
    record.tokens.reserve(static_cast<size_t>(request.max_new_tokens));
    streams_[static_cast<size_t>(i)] = request.stream;
    request.stream->SetListener([this, i] { Listen(i); });
    const absl::MutexLock lock(&mutex_);
    submitted_.push_back({i, request.stream});
  }

  // Waits until something ends or `deadline`; forgets the streams of what has ended and returns how
  // many these are.
  int64_t WaitForEnds(TimePoint deadline) {
    std::vector<int64_t> ended;
    {
      const absl::MutexLock lock(&mutex_);
      const auto some = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !ended_.empty(); };
      if (deadline == TimePoint::max()) {
        mutex_.Await(absl::Condition(&some));
      } else {
        mutex_.AwaitWithTimeout(absl::Condition(&some), absl::FromChrono(deadline - clock_.Now()));
      }
      ended.swap(ended_);
    }
    for (const int64_t i : ended) {
      streams_[static_cast<size_t>(i)].reset();
    }
    return std::ssize(ended);
  }

  // The loop's thread, after each step.
  void Observe(const StepReport& step) {
    steps_.Add(step);
    // Prompts are counted when they are admitted: only then is there an admission to look for.
    if (step.counts.total_prompt_tokens > num_admitted_prompt_tokens_) {
      NoteAdmissions(clock_.Now() - step.step_time, step.counts.total_prompt_tokens);
    }
  }

  // Once the loop's thread has ended.
  [[nodiscard]] const std::vector<RequestRecord>& records() const { return records_; }
  [[nodiscard]] const StepTotals& steps() const { return steps_; }

 private:
  struct Submitted {
    int64_t number;
    std::shared_ptr<TokenStream> stream;
  };

  // The loop's thread: there is something to read.
  void Listen(int64_t i) {
    const TimePoint now = clock_.Now();
    RequestRecord& record = records_[static_cast<size_t>(i)];
    items_.clear();
    TokenStream& stream = *streams_[static_cast<size_t>(i)];
    const bool more = stream.Read(absl::ZeroDuration(), items_);
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
      ended_.push_back(i);
    }
  }

  // Looks for requests that have been admitted, oldest first, until all admitted prompts are found.
  void NoteAdmissions(TimePoint step_start, int64_t total_prompt_tokens) {
    const absl::MutexLock lock(&mutex_);
    std::erase_if(submitted_, [&](const Submitted& submitted) {
      if (num_admitted_prompt_tokens_ >= total_prompt_tokens ||
          !submitted.stream->cache_report().has_value()) {
        return false;
      }
      RequestRecord& record = records_[static_cast<size_t>(submitted.number)];
      record.admitted = std::max(step_start, record.arrival);
      num_admitted_prompt_tokens_ += record.num_prompt_tokens;
      return true;
    });
  }

  const Clock& clock_;
  std::vector<RequestRecord> records_;                 // [num_requests]
  std::vector<std::shared_ptr<TokenStream>> streams_;  // [num_requests]; null before and after
  std::vector<TokenStream::Item> items_;               // Listen's
  StepTotals steps_;
  int64_t num_admitted_prompt_tokens_ = 0;

  absl::Mutex mutex_;
  std::vector<Submitted> submitted_ ABSL_GUARDED_BY(mutex_);  // and not seen to be admitted
  std::vector<int64_t> ended_ ABSL_GUARDED_BY(mutex_);        // and not waited for
};

absl::Status RunClosed(const DriveArgs& args, SchedulerLoop& loop, Measurements& measurements) {
  const int64_t num_requests = args.workload.num_requests();
  int64_t num_submitted = 0;
  int64_t num_in_flight = 0;
  Request next = args.workload.MakeRequest(0);  // made while there is nothing else to do
  while (num_submitted < num_requests || num_in_flight > 0) {
    while (num_submitted < num_requests && num_in_flight < *args.concurrency) {
      measurements.Expect(num_submitted, args.clock.Now(), next);
      RETURN_IF_ERROR(loop.Submit(std::move(next)));
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
    measurements.Expect(i, arrival, request);
    RETURN_IF_ERROR(loop.Submit(std::move(request)));
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
