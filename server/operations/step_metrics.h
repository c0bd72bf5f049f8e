#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "server/operations/metric_registry.h"
#include "server/operations/server_metrics.h"

namespace hadal {

/// What a step was spent on, as far as its report tells.
enum class StepKind : int8_t {
  kPrefill,  // no sequence generated, or the only one got more than one token computed
  kDecode,   // each sequence got one token computed, drafts aside
  kMixed,
};

/// `num_generated`: tokens that the step generated.
StepKind KindOf(const StepReport& report, int64_t num_generated);

/// Metrics about the engine's steps, the cache and the queue. ObserveStep and ObserveIdle belong
/// to the scheduler's thread; the others to any.
class StepMetrics {
 public:
  StepMetrics(MetricRegistry& registry, const ServerMetrics::Info& info);
  StepMetrics(const StepMetrics&) = delete;
  StepMetrics& operator=(const StepMetrics&) = delete;

  // As ServerMetrics says. The cache's blocks all count as free until the first step.
  void SetCache(const CacheInfo& cache);
  void SetLoadTime(Duration duration);
  void SetMoment(const ServerMoment& moment);
  void ObserveStep(const StepReport& report);
  void ObserveIdle(const SchedulerCounts& counts);
  void CountWatchdogTrip();

 private:
  static constexpr size_t kNumKinds = 3;
  static constexpr size_t kNumPhases = 5;       // plan, forward, sample, draft, apply
  static constexpr size_t kNumBlockStates = 3;  // free, cached, used
  static constexpr size_t kNumEnds = std::tuple_size_v<decltype(SchedulerCounts::total_ended)>;

  void SetGauges(const SchedulerCounts& counts);
  void AddTotals(const SchedulerCounts& counts);
  void AddStats(const StepStats& stats);

  MetricRegistry& registry_;
  SchedulerCounts last_;  // of the step before

  std::array<prometheus::Histogram*, kNumKinds> step_time_;    // by StepKind
  std::array<prometheus::Counter*, kNumPhases> phase_time_;    //
  std::array<prometheus::Gauge*, kNumBlockStates> kv_blocks_;  //
  std::array<prometheus::Counter*, kNumEnds> ended_;           // by FinishReason
  std::array<prometheus::Counter*, kMaxDraftTokens> drafted_;  // by place
  std::array<prometheus::Counter*, kMaxDraftTokens> accepted_;
  prometheus::Histogram& step_tokens_;
  prometheus::Histogram& batch_size_;
  prometheus::Counter& step_failures_;
  prometheus::Gauge& waiting_;
  prometheus::Gauge& running_;
  prometheus::Gauge& preempted_;
  prometheus::Gauge& queue_prefill_tokens_;
  prometheus::Gauge& kv_usage_;
  prometheus::Counter& prefix_queries_;
  prometheus::Counter& prefix_hits_;
  prometheus::Counter& preemptions_;
  prometheus::Counter& computed_prompt_tokens_;
  prometheus::Counter& cached_prompt_tokens_;
  prometheus::Counter& sampled_tokens_;
  prometheus::Gauge& last_step_age_;
  prometheus::Gauge& load_time_;
  prometheus::Counter& watchdog_trips_;
  prometheus::Counter& flops_;
  prometheus::Counter& bytes_;
  prometheus::Histogram& active_parameters_;
  prometheus::Histogram& attended_tokens_;
  prometheus::Counter& numerical_errors_;
};

}  // namespace hadal
