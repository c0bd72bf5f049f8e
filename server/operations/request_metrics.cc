#include "server/operations/request_metrics.h"

#include <algorithm>
#include <array>
#include <span>

#include "server/operations/request_counts.h"

namespace hadal {
namespace {

// Buckets of OpenTelemetry's gen_ai.server.time_to_first_token, and beyond.
constexpr std::array kFirstTokenBounds = {.001, .005, .01, .02, .04, .06,  .08,  .1,   .25,  .5,
                                          .75,  1.0,  2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0};

// With the limits that load tests ask for, 15 ms and 80 ms, as exact edges.
constexpr std::array kTokenTimeBounds = {.001,
                                         .0025,
                                         .005,
                                         .01,
                                         .015,
                                         .02,
                                         .03,
                                         .04,
                                         .05,
                                         .06,
                                         .08,
                                         .1,
                                         .15,
                                         .2,
                                         .3,
                                         .5,
                                         1.0,
                                         2.5,
                                         10.0};

constexpr std::array kTimeBounds = {.01,  .02,  .04,  .08,  .16,   .3,    .5,    .8,
                                    1.0,  1.5,  2.0,  2.5,  5.0,   10.0,  15.0,  20.0,
                                    30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0};

// A queue is worth seeing long before it costs 10 ms.
constexpr std::array kQueueTimeBounds = {.001, .002, .005, .01,  .02,   .04,   .08,  .16,
                                         .3,   .5,   .8,   1.0,  1.5,   2.0,   2.5,  5.0,
                                         10.0, 20.0, 40.0, 60.0, 120.0, 240.0, 480.0};

constexpr std::array kTokenCountBounds = {1.0,
                                          2.0,
                                          5.0,
                                          10.0,
                                          20.0,
                                          50.0,
                                          100.0,
                                          200.0,
                                          500.0,
                                          1000.0,
                                          2000.0,
                                          5000.0,
                                          10000.0,
                                          20000.0,
                                          50000.0,
                                          100000.0,
                                          200000.0};

constexpr std::array kStallBounds = {.001, .002, .005, .01, .02, .05, .1, .2, .5, 1.0, 5.0};

double Seconds(Duration duration) {
  return std::chrono::duration<double>(std::max(duration, Duration::zero())).count();
}

Histogram& AddModelHistogram(MetricRegistry& registry,
                             const std::string& name,
                             const std::string& help,
                             std::span<const double> bounds) {
  return registry.AddHistogram({.name = name, .help = help}, {}, bounds);
}

Counter* AddRejected(MetricRegistry& registry, const std::string& reason) {
  return &registry.AddCounter({.name = "hadal_requests_rejected_total",
                               .help = "Requests refused before any work was done for them."},
                              {{"reason", reason}});
}

Counter* AddAnswerTokens(MetricRegistry& registry, const std::string& phase) {
  return &registry.AddCounter({.name = "hadal_generation_tokens_total",
                               .help = "Generated tokens, by the part of the answer they are in."},
                              {{"phase", phase}});
}

}  // namespace

// The order of rejected_ and answer_tokens_ is that of their enums.
RequestMetrics::RequestMetrics(MetricRegistry& registry)
    : requests_(std::make_unique<RequestCounts>(registry.model())),
      rejected_{AddRejected(registry, "requests"),
                AddRejected(registry, "tokens"),
                AddRejected(registry, "memory"),
                AddRejected(registry, "draining"),
                AddRejected(registry, "deadline"),
                AddRejected(registry, "invalid")},
      answer_tokens_{AddAnswerTokens(registry, "reasoning"),
                     AddAnswerTokens(registry, "content"),
                     AddAnswerTokens(registry, "tool")},
      time_to_first_token_(AddModelHistogram(registry,
                                             "hadal_time_to_first_token_seconds",
                                             "From a request's arrival to its first token.",
                                             kFirstTokenBounds)),
      inter_token_latency_(AddModelHistogram(registry,
                                             "hadal_inter_token_latency_seconds",
                                             "Between two tokens of one choice.",
                                             kTokenTimeBounds)),
      time_per_output_token_(
          AddModelHistogram(registry,
                            "hadal_time_per_output_token_seconds",
                            "Of a request, the mean time between tokens of its longest choice.",
                            kTokenTimeBounds)),
      duration_(AddModelHistogram(registry,
                                  "hadal_request_duration_seconds",
                                  "From a request's arrival to the end of its answer.",
                                  kTimeBounds)),
      queue_time_(AddModelHistogram(registry,
                                    "hadal_queue_time_seconds",
                                    "From a request's arrival to its first step.",
                                    kQueueTimeBounds)),
      prefill_time_(AddModelHistogram(registry,
                                      "hadal_prefill_time_seconds",
                                      "From a request's first step to its first token.",
                                      kTimeBounds)),
      decode_time_(AddModelHistogram(registry,
                                     "hadal_decode_time_seconds",
                                     "From a request's first token to its last.",
                                     kTimeBounds)),
      prompt_tokens_(AddModelHistogram(registry,
                                       "hadal_request_prompt_tokens",
                                       "Tokens of a request's prompt.",
                                       kTokenCountBounds)),
      completion_tokens_(AddModelHistogram(registry,
                                           "hadal_request_generation_tokens",
                                           "Tokens generated for a request, of all its choices.",
                                           kTokenCountBounds)),
      open_streams_(registry.AddGauge(
          {.name = "hadal_streams_open", .help = "Responses that are being streamed."}, {})),
      in_flight_bytes_(registry.AddGauge(
          {.name = "hadal_inflight_bytes", .help = "Request bodies that are held in memory."}, {})),
      disconnects_(registry.AddCounter(
          {.name = "hadal_client_disconnects_total",
           .help = "Clients that went away before their response was complete."},
          {})),
      slow_clients_(registry.AddCounter({.name = "hadal_slow_client_aborts_total",
                                         .help = "Clients cut off because they took nothing."},
                                        {})),
      connections_(registry.AddGauge({.name = "hadal_connections_open",
                                      .help = "Connections of clients.",
                                      .scope = MetricScope::kServer},
                                     {})),
      reactor_stall_(registry.AddHistogram({.name = "hadal_reactor_stall_seconds",
                                            .help = "How late an I/O thread's periodic timer came.",
                                            .scope = MetricScope::kServer},
                                           {},
                                           kStallBounds)) {
  registry.AddCollectable(*requests_);
}

RequestMetrics::~RequestMetrics() = default;

void RequestMetrics::CountRequest(RouteName route, int32_t status, std::string_view finish_reason) {
  requests_->Count(route, status, finish_reason);
}

void RequestMetrics::CountRejection(RejectReason reason) {
  rejected_[static_cast<size_t>(reason)]->Increment();
}

void RequestMetrics::ObserveGeneration(const GenerationTimes& times) {
  queue_time_.Observe(Seconds(times.queue));
  duration_.Observe(Seconds(times.total));
  prompt_tokens_.Observe(static_cast<double>(times.num_prompt_tokens));
  completion_tokens_.Observe(static_cast<double>(times.num_completion_tokens));
  if (!times.first_token.has_value()) {
    return;
  }
  time_to_first_token_.Observe(Seconds(*times.first_token));
  prefill_time_.Observe(Seconds(*times.first_token - times.queue));
  decode_time_.Observe(Seconds(times.decode));
  if (times.max_completion_tokens > 1) {
    time_per_output_token_.Observe(Seconds(times.decode) /
                                   static_cast<double>(times.max_completion_tokens - 1));
  }
}

void RequestMetrics::ObserveInterTokenLatency(Duration latency) {
  inter_token_latency_.Observe(Seconds(latency));
}

void RequestMetrics::CountTokens(AnswerPhase phase, int64_t num_tokens) {
  answer_tokens_[static_cast<size_t>(phase)]->Increment(static_cast<double>(num_tokens));
}

void RequestMetrics::ChangeOpenStreams(int64_t change) {
  open_streams_.Increment(static_cast<double>(change));
}

void RequestMetrics::ChangeInFlightBytes(int64_t change) {
  in_flight_bytes_.Increment(static_cast<double>(change));
}

void RequestMetrics::CountDisconnect() {
  disconnects_.Increment();
}

void RequestMetrics::CountSlowClient() {
  slow_clients_.Increment();
}

void RequestMetrics::ChangeConnections(int64_t change) {
  connections_.Increment(static_cast<double>(change));
}

void RequestMetrics::ObserveReactorStall(Duration delay) {
  reactor_stall_.Observe(Seconds(delay));
}

}  // namespace hadal
