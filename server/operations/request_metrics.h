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
  std::array<prometheus::Counter*, kNumRejectReasons> rejected_;      // by RejectReason
  std::array<prometheus::Counter*, kNumAnswerPhases> answer_tokens_;  // by AnswerPhase
  prometheus::Histogram& time_to_first_token_;
  prometheus::Histogram& inter_token_latency_;
  prometheus::Histogram& time_per_output_token_;
  prometheus::Histogram& duration_;
  prometheus::Histogram& queue_time_;
  prometheus::Histogram& prefill_time_;
  prometheus::Histogram& decode_time_;
  prometheus::Histogram& prompt_tokens_;
  prometheus::Histogram& completion_tokens_;
  prometheus::Gauge& open_streams_;
  prometheus::Gauge& in_flight_bytes_;
  prometheus::Counter& disconnects_;
  prometheus::Counter& slow_clients_;
  prometheus::Gauge& connections_;
  prometheus::Histogram& reactor_stall_;
};

}  // namespace hadal
