#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "scheduler/scheduler_loop.h"
#include "server/generation/admission.h"
#include "server/generation/choice.h"
#include "server/generation/generation_event.h"
#include "server/generation/generation_params.h"
#include "server/generation/served_model.h"
#include "server/operations/server_metrics.h"

namespace hadal {

/// What generations share. Any thread.
struct GenerationContext {
  /// Borrows all of them.
  GenerationContext(const ServedModel& served_model,
                    SchedulerLoop& scheduler_loop,
                    const Clock& a_clock,
                    ServerMetrics& server_metrics)
      : model(served_model), loop(scheduler_loop), clock(a_clock), metrics(server_metrics) {}

  /// Ids count up: none is used twice.
  RequestId NewRequestId() const { return RequestId{next_id.fetch_add(1)}; }

  const ServedModel& model;
  SchedulerLoop& loop;
  const Clock& clock;
  ServerMetrics& metrics;
  CacheSharing cache_sharing = CacheSharing::kWithinTenant;
  Duration request_timeout = std::chrono::seconds(600);  // for requests that name none
  mutable std::atomic<int64_t> next_id = 1;
};

/// One prompt and its choices, from submission to the last token: text instead of tokens, stop
/// strings heeded, times measured. Belongs to one thread at a time. When it goes before its end the
/// request is cancelled, and what it holds of the server is given back as soon as the scheduler is
/// done with it.
class Generation {
 public:
  struct Args {
    const GenerationContext& context;  // outlives the generation
    Prompt prompt;
    const GenerationParams& params;  // likewise
    AnswerKind kind;
    TenantId tenant;
    TimePoint arrival;                   // of the request
    Admission::Reservation reservation;  // n requests and the prompt's tokens
    std::function<void()> on_news;       // on the scheduler's thread: Read has something, or the
                                         // request was admitted; must not wait
  };

  /// OutOfRange when the prompt leaves no room in the context; InvalidArgument, naming the field,
  /// for other parameters that cannot be; the errors of SchedulerLoop::Submit.
  static absl::StatusOr<std::unique_ptr<Generation>> Start(Args args);

  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;
  ~Generation();

  /// Appends what is new, never waiting. False once all choices have ended.
  bool Read(std::vector<ChoiceDelta>& deltas);

  /// So far. The cache report is void until `admitted()`.
  [[nodiscard]] const Usage& usage() const { return usage_; }
  [[nodiscard]] bool admitted() const { return admitted_; }

  /// OK, or why the choices ended that did not end regularly: DeadlineExceeded, Cancelled,
  /// Internal.
  [[nodiscard]] const absl::Status& failure() const { return failure_; }

  /// Where the time went; void before Read has returned false.
  [[nodiscard]] const GenerationTimes& times() const { return times_; }

 private:
  struct Shared;

  Generation(const Args& args, std::vector<Choice> choices);

  static absl::StatusOr<Request> MakeRequest(const Args& args);
  void TakeToken(const TokenStream::Item& item, ChoiceDelta& delta);
  void TakeEnd(const TokenStream::Item& item, ChoiceDelta& delta);
  void MeasureTokens(TimePoint now);
  void ReportTimes(TimePoint now);

  const GenerationContext& context_;
  const TimePoint arrival_;
  RequestId id_{};
  std::vector<Choice> choices_;
  std::shared_ptr<Shared> shared_;
  std::shared_ptr<TokenStream> stream_;

  Usage usage_;
  bool admitted_ = false;
  bool ended_ = false;
  absl::Status failure_;
  GenerationTimes times_;

  std::optional<TimePoint> first_token_;
  TimePoint last_token_{};
  std::vector<TimePoint> last_tokens_;   // [n] of each choice
  std::vector<int64_t> num_new_tokens_;  // [n] in this Read
  std::vector<TokenStream::Item> items_;
};

}  // namespace hadal
