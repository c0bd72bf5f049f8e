#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

#include "server/operations/metric_registry.h"
#include "server/operations/server_metrics.h"

namespace hadal {

class RequestCounts;

/// Metrics about requests and connections. Any thread.
class RequestMetrics {
 public:
  explicit RequestMetrics(MetricRegistry& registry);
  RequestMetrics(const RequestMetrics&) = delete;
  RequestMetrics& operator=(const RequestMetrics&) = delete;
  ~RequestMetrics();

  // As ServerMetrics says.
  void CountRequest(RouteName route, int32_t status, std::string_view finish_reason);
  void CountRejection(RejectReason reason);
  void ObserveGeneration(const GenerationTimes& times);
  void ObserveInterTokenLatency(Duration latency);
  void CountTokens(AnswerPhase phase, int64_t num_tokens);
  void ChangeOpenStreams(int64_t change);
  void ChangeInFlightBytes(int64_t change);
  void CountDisconnect();
  void CountSlowClient();
  void ChangeConnections(int64_t change);
  void ObserveReactorStall(Duration delay);

 private:
  static constexpr size_t kNumRejectReasons = 6;
  static constexpr size_t kNumAnswerPhases = 3;

  std::unique_ptr<RequestCounts> requests_;
  std::array<Counter*, kNumRejectReasons> rejected_;      // by RejectReason
  std::array<Counter*, kNumAnswerPhases> answer_tokens_;  // by AnswerPhase
  Histogram& time_to_first_token_;
  Histogram& inter_token_latency_;
  Histogram& time_per_output_token_;
  Histogram& duration_;
  Histogram& queue_time_;
  Histogram& prefill_time_;
  Histogram& decode_time_;
  Histogram& prompt_tokens_;
  Histogram& completion_tokens_;
  Gauge& open_streams_;
  Gauge& in_flight_bytes_;
  Counter& disconnects_;
  Counter& slow_clients_;
  Gauge& connections_;
  Histogram& reactor_stall_;
};

}  // namespace hadal
