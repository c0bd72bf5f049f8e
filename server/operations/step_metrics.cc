#include "server/operations/step_metrics.h"

#include <algorithm>
#include <array>
#include <span>
#include <string>

#include "engine/api/finish_reason.h"

namespace hadal {
namespace {

constexpr std::array kStepTimeBounds = {.0001, .0002, .0005, .001, .002, .005, .01, .015,
                                        .02,   .03,   .05,   .075, .1,   .15,  .2,  .3,
                                        .5,    1.0,   2.0,   5.0,  10.0, 30.0, 60.0};
constexpr std::array kPowersOfTwo = {1.0,
                                     2.0,
                                     4.0,
                                     8.0,
                                     16.0,
                                     32.0,
                                     64.0,
                                     128.0,
                                     256.0,
                                     512.0,
                                     1024.0,
                                     2048.0,
                                     4096.0,
                                     8192.0,
                                     16384.0,
                                     32768.0,
                                     65536.0};
constexpr std::array kRatioBounds = {
    .01, .02, .03, .04, .05, .075, .1, .15, .2, .3, .4, .5, .6, .7, .8, .9, 1.0};

enum BlockState : uint8_t { kFree, kCached, kUsed };

double Seconds(Duration duration) {
  return std::chrono::duration<double>(std::max(duration, Duration::zero())).count();
}

Gauge& AddGauge(MetricRegistry& registry, const std::string& name, const std::string& help) {
  return registry.AddGauge({.name = name, .help = help}, {});
}

Counter& AddCounter(MetricRegistry& registry, const std::string& name, const std::string& help) {
  return registry.AddCounter({.name = name, .help = help}, {});
}

Histogram* AddStepTime(MetricRegistry& registry, const std::string& kind) {
  return &registry.AddHistogram({.name = "hadal_engine_step_seconds",
                                 .help = "Time of a step, from planning it to applying it."},
                                {{"kind", kind}},
                                kStepTimeBounds);
}

Counter* AddPhaseTime(MetricRegistry& registry, const std::string& phase) {
  return &registry.AddCounter(
      {.name = "hadal_step_phase_seconds_total", .help = "Time that steps spent in each phase."},
      {{"phase", phase}});
}

Gauge* AddKvBlocks(MetricRegistry& registry, const std::string& state) {
  return &registry.AddGauge(
      {.name = "hadal_kv_blocks",
       .help = "Blocks of the cache. Cached ones are kept for later and give way when needed."},
      {{"state", state}});
}

Counter* AddEnded(MetricRegistry& registry, FinishReason reason) {
  return &registry.AddCounter({.name = "hadal_requests_ended_total",
                               .help = "Requests that the scheduler took in and ended."},
                              {{"reason", std::string(NameOf(reason))}});
}

Counter& AddPromptTokens(MetricRegistry& registry, const std::string& source) {
  return registry.AddCounter(
      {.name = "hadal_prompt_tokens_total", .help = "Prompt tokens of admitted requests."},
      {{"source", source}});
}

// Counters never go down: what came before is subtracted, and a total that fell counts nothing.
void AddChange(Counter& counter, int64_t before, int64_t now) {
  if (now > before) {
    counter.Increment(static_cast<double>(now - before));
  }
}

}  // namespace

StepKind KindOf(const StepReport& report, int64_t num_generated) {
  if (report.num_tokens - report.num_drafts <= report.num_sequences) {
    return StepKind::kDecode;
  }
  return num_generated == 0 || report.num_sequences == 1 ? StepKind::kPrefill : StepKind::kMixed;
}

StepMetrics::StepMetrics(MetricRegistry& registry, const ServerMetrics::Info& info)
    : registry_(registry),
      step_time_{AddStepTime(registry, "prefill"),
                 AddStepTime(registry, "decode"),
                 AddStepTime(registry, "mixed")},
      phase_time_{AddPhaseTime(registry, "plan"),
                  AddPhaseTime(registry, "forward"),
                  AddPhaseTime(registry, "sample"),
                  AddPhaseTime(registry, "draft"),
                  AddPhaseTime(registry, "apply")},
      kv_blocks_{AddKvBlocks(registry, "free"),
                 AddKvBlocks(registry, "cached"),
                 AddKvBlocks(registry, "used")},
      ended_{},
      drafted_{},
      accepted_{},
      step_tokens_(registry.AddHistogram(
          {.name = "hadal_step_tokens", .help = "Tokens that a step computed."}, {}, kPowersOfTwo)),
      batch_size_(registry.AddHistogram(
          {.name = "hadal_batch_size", .help = "Sequences that shared a step."}, {}, kPowersOfTwo)),
      step_failures_(AddCounter(
          registry, "hadal_step_failures_total", "Steps that failed, with all their requests.")),
      waiting_(AddGauge(registry, "hadal_requests_waiting", "Requests that no step has begun.")),
      running_(AddGauge(registry,
                        "hadal_requests_running",
                        "Sequences that share steps; a request of n choices counts n times.")),
      preempted_(AddGauge(
          registry, "hadal_requests_preempted", "Sequences that wait for cache blocks again.")),
      queue_prefill_tokens_(AddGauge(registry,
                                     "hadal_queue_prefill_tokens",
                                     "Prompt tokens of requests that no step has begun.")),
      kv_usage_(AddGauge(registry,
                         "hadal_kv_usage_ratio",
                         "Share of the cache's blocks that live sequences use.")),
      prefix_queries_(AddCounter(registry,
                                 "hadal_prefix_cache_queries_tokens_total",
                                 "Prompt tokens looked for in the prefix cache.")),
      prefix_hits_(AddCounter(registry,
                              "hadal_prefix_cache_hits_tokens_total",
                              "Prompt tokens found in the prefix cache.")),
      preemptions_(registry.AddCounter({.name = "hadal_preemptions_total",
                                        .help = "Sequences that lost their blocks to another."},
                                       {{"kind", "recompute"}})),
      computed_prompt_tokens_(AddPromptTokens(registry, "computed")),
      cached_prompt_tokens_(AddPromptTokens(registry, "cached")),
      sampled_tokens_(
          AddCounter(registry, "hadal_sampled_tokens_total", "Tokens that steps generated.")),
      last_step_age_(AddGauge(registry,
                              "hadal_engine_last_step_age_seconds",
                              "Time since the step under way began, or since the last one ended.")),
      load_time_(AddGauge(
          registry, "hadal_model_load_seconds", "Time that reading the model took; 0 until then.")),
      watchdog_trips_(AddCounter(
          registry, "hadal_watchdog_trips_total", "Times that the engine made no progress.")),
      flops_(AddCounter(registry,
                        "hadal_estimated_flops_total",
                        "Floating-point operations of all steps, estimated from shapes.")),
      bytes_(AddCounter(registry,
                        "hadal_estimated_memory_bytes_total",
                        "Bytes of weights and cache that steps moved, estimated from shapes.")),
      active_parameters_(registry.AddHistogram(
          {.name = "hadal_step_active_parameters_ratio",
           .help = "Share of the bytes of the model's weights that a step read."},
          {},
          kRatioBounds)),
      attended_tokens_(registry.AddHistogram(
          {.name = "hadal_step_attended_tokens_ratio",
           .help = "Share of the tokens before it that a token attended to, over a step."},
          {},
          kRatioBounds)),
      numerical_errors_(AddCounter(registry,
                                   "hadal_numerical_errors_total",
                                   "Sequences that ended because their numbers were not finite.")) {
  for (size_t i = 0; i < kMaxDraftTokens; ++i) {
    const MetricLabels place = {{"position", std::to_string(i + 1)}};
    drafted_[i] = &registry.AddCounter(
        {.name = "hadal_spec_drafted_tokens_total",
         .help = "Drafted tokens that were verified, by their place behind the known ones."},
        place);
    accepted_[i] = &registry.AddCounter({.name = "hadal_spec_accepted_tokens_total",
                                         .help = "Drafted tokens that came true, by their place."},
                                        place);
  }
  for (size_t i = 0; i < kNumEnds; ++i) {
    ended_[i] = AddEnded(registry, static_cast<FinishReason>(i));
  }
  AddGauge(registry, "hadal_max_running_sequences", "Most sequences that may share a step.")
      .Set(static_cast<double>(info.max_running_sequences));
  AddGauge(registry, "hadal_max_requests", "Most requests that are taken in at a time.")
      .Set(static_cast<double>(info.max_requests));
}

void StepMetrics::SetCache(const CacheInfo& cache) {
  registry_
      .AddGauge({.name = "hadal_cache_config_info", .help = "What the cache is; always 1."},
                {{"block_size", std::to_string(cache.block_size)},
                 {"num_blocks", std::to_string(cache.num_blocks)},
                 {"dtype", cache.dtype}})
      .Set(1);
  kv_blocks_[kFree]->Set(static_cast<double>(cache.num_blocks));
}

void StepMetrics::SetLoadTime(Duration duration) {
  load_time_.Set(Seconds(duration));
}

void StepMetrics::SetMoment(const ServerMoment& moment) {
  last_step_age_.Set(Seconds(moment.step_age));
  queue_prefill_tokens_.Set(static_cast<double>(moment.queue_prefill_tokens));
}

void StepMetrics::ObserveStep(const StepReport& report) {
  const int64_t num_generated = report.counts.total_generated_tokens - last_.total_generated_tokens;
  step_time_[static_cast<size_t>(KindOf(report, num_generated))]->Observe(
      Seconds(report.step_time));
  phase_time_[0]->Increment(Seconds(report.plan_time));
  phase_time_[1]->Increment(Seconds(report.forward_time));
  phase_time_[2]->Increment(Seconds(report.sample_time));
  phase_time_[3]->Increment(Seconds(report.draft_time));
  phase_time_[4]->Increment(Seconds(report.apply_time));
  step_tokens_.Observe(static_cast<double>(report.num_tokens));
  batch_size_.Observe(static_cast<double>(report.num_sequences));
  if (report.failed) {
    step_failures_.Increment();
  }
  numerical_errors_.Increment(static_cast<double>(report.num_not_finite));
  if (report.stats != nullptr) {
    AddStats(*report.stats);
  }
  AddTotals(report.counts);
  SetGauges(report.counts);
}

void StepMetrics::ObserveIdle(const SchedulerCounts& counts) {
  AddTotals(counts);
  SetGauges(counts);
}

void StepMetrics::SetGauges(const SchedulerCounts& counts) {
  waiting_.Set(static_cast<double>(counts.num_waiting));
  running_.Set(static_cast<double>(counts.num_running));
  preempted_.Set(static_cast<double>(counts.num_preempted));
  kv_blocks_[kFree]->Set(static_cast<double>(counts.num_free_blocks));
  kv_blocks_[kCached]->Set(static_cast<double>(counts.num_cached_blocks));
  kv_blocks_[kUsed]->Set(static_cast<double>(counts.num_used_blocks));
  const int64_t num_blocks =
      counts.num_free_blocks + counts.num_cached_blocks + counts.num_used_blocks;
  kv_usage_.Set(static_cast<double>(counts.num_used_blocks) /
                static_cast<double>(std::max(num_blocks, int64_t{1})));
}

void StepMetrics::AddTotals(const SchedulerCounts& counts) {
  AddChange(prefix_queries_, last_.total_prompt_tokens, counts.total_prompt_tokens);
  AddChange(prefix_hits_, last_.total_cached_tokens, counts.total_cached_tokens);
  AddChange(cached_prompt_tokens_, last_.total_cached_tokens, counts.total_cached_tokens);
  AddChange(computed_prompt_tokens_,
            last_.total_prompt_tokens - last_.total_cached_tokens,
            counts.total_prompt_tokens - counts.total_cached_tokens);
  AddChange(preemptions_, last_.total_preemptions, counts.total_preemptions);
  AddChange(sampled_tokens_, last_.total_generated_tokens, counts.total_generated_tokens);
  for (size_t i = 0; i < kMaxDraftTokens; ++i) {
    AddChange(*drafted_[i], last_.total_drafted[i], counts.total_drafted[i]);
    AddChange(*accepted_[i], last_.total_accepted[i], counts.total_accepted[i]);
  }
  for (size_t i = 0; i < kNumEnds; ++i) {
    AddChange(*ended_[i], last_.total_ended[i], counts.total_ended[i]);
  }
  last_ = counts;
}

void StepMetrics::AddStats(const StepStats& stats) {
  flops_.Increment(stats.flops);
  bytes_.Increment(static_cast<double>(stats.weight_bytes + stats.cache_bytes));
  if (stats.total_weight_bytes > 0) {
    active_parameters_.Observe(stats.active_weight_share());
  }
  if (stats.attendable_tokens > 0) {
    attended_tokens_.Observe(static_cast<double>(stats.attended_tokens) /
                             static_cast<double>(stats.attendable_tokens));
  }
}

void StepMetrics::CountWatchdogTrip() {
  watchdog_trips_.Increment();
}

}  // namespace hadal
