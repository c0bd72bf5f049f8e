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

  std::array<Histogram*, kNumKinds> step_time_;    // by StepKind
  std::array<Counter*, kNumPhases> phase_time_;    //
  std::array<Gauge*, kNumBlockStates> kv_blocks_;  //
  std::array<Counter*, kNumEnds> ended_;           // by FinishReason
  std::array<Counter*, kMaxDraftTokens> drafted_;  // by place
  std::array<Counter*, kMaxDraftTokens> accepted_;
  Histogram& step_tokens_;
  Histogram& batch_size_;
  Counter& step_failures_;
  Gauge& waiting_;
  Gauge& running_;
  Gauge& preempted_;
  Gauge& queue_prefill_tokens_;
  Gauge& kv_usage_;
  Counter& prefix_queries_;
  Counter& prefix_hits_;
  Counter& preemptions_;
  Counter& computed_prompt_tokens_;
  Counter& cached_prompt_tokens_;
  Counter& sampled_tokens_;
  Gauge& last_step_age_;
  Gauge& load_time_;
  Counter& watchdog_trips_;
  Counter& flops_;
  Counter& bytes_;
  Histogram& active_parameters_;
  Histogram& attended_tokens_;
  Counter& numerical_errors_;
};

}  // namespace hadal
