#include "server/operations/step_metrics.h"

#include <chrono>

#include <gtest/gtest.h>

#include "tests/server/operations/metric_text.h"

namespace hadal {
namespace {

using std::chrono::milliseconds;

class StepMetricsTest : public testing::Test {
 protected:
  double Value(const std::string& name, std::map<std::string, std::string> labels) {
    labels["model"] = "demo";
    return ValueOf(ParseMetricText(registry_.Serialize()), name, labels);
  }

  MetricRegistry registry_ = MetricRegistry("demo");
  StepMetrics metrics_ = StepMetrics(
      registry_, {.version = "1", .model = "demo", .max_running_sequences = 8, .max_requests = 16});
};

TEST(StepKindTest, ItIsReadFromTokensAndSequences) {
  StepReport report;
  report.num_tokens = 4;
  report.num_sequences = 4;
  EXPECT_EQ(KindOf(report, 4), StepKind::kDecode);
  report.num_tokens = 5;
  EXPECT_EQ(KindOf(report, 4), StepKind::kMixed);
  report.num_drafts = 1;
  EXPECT_EQ(KindOf(report, 5), StepKind::kDecode);
  report.num_drafts = 0;
  EXPECT_EQ(KindOf(report, 0), StepKind::kPrefill);
  report.num_sequences = 1;
  EXPECT_EQ(KindOf(report, 1), StepKind::kPrefill);
}

TEST_F(StepMetricsTest, AStepIsObservedByItsKind) {
  StepReport report;
  report.num_tokens = 100;
  report.num_sequences = 1;
  report.plan_time = milliseconds(1);
  report.forward_time = milliseconds(20);
  report.sample_time = milliseconds(3);
  report.draft_time = milliseconds(5);
  report.apply_time = milliseconds(2);
  report.step_time = milliseconds(26);
  metrics_.ObserveStep(report);
  report.num_tokens = 1;
  report.counts.total_generated_tokens = 1;
  report.failed = true;
  metrics_.ObserveStep(report);
  EXPECT_EQ(Value("hadal_engine_step_seconds_count", {{"kind", "prefill"}}), 1);
  EXPECT_EQ(Value("hadal_engine_step_seconds_count", {{"kind", "decode"}}), 1);
  EXPECT_EQ(Value("hadal_engine_step_seconds_count", {{"kind", "mixed"}}), 0);
  EXPECT_EQ(Value("hadal_engine_step_seconds_bucket", {{"kind", "decode"}, {"le", "0.02"}}), 0);
  EXPECT_EQ(Value("hadal_engine_step_seconds_bucket", {{"kind", "decode"}, {"le", "0.03"}}), 1);
  EXPECT_DOUBLE_EQ(Value("hadal_step_phase_seconds_total", {{"phase", "plan"}}), 0.002);
  EXPECT_DOUBLE_EQ(Value("hadal_step_phase_seconds_total", {{"phase", "forward"}}), 0.04);
  EXPECT_DOUBLE_EQ(Value("hadal_step_phase_seconds_total", {{"phase", "sample"}}), 0.006);
  EXPECT_DOUBLE_EQ(Value("hadal_step_phase_seconds_total", {{"phase", "draft"}}), 0.01);
  EXPECT_DOUBLE_EQ(Value("hadal_step_phase_seconds_total", {{"phase", "apply"}}), 0.004);
  EXPECT_EQ(Value("hadal_step_tokens_sum", {}), 101);
  EXPECT_EQ(Value("hadal_batch_size_sum", {}), 2);
  EXPECT_EQ(Value("hadal_step_failures_total", {}), 1);
}

TEST_F(StepMetricsTest, CountsOfNowAreGaugesAndTotalsAreCounters) {
  StepReport report;
  report.counts.num_running = 3;
  report.counts.num_preempted = 1;
  report.counts.num_waiting = 7;
  report.counts.num_free_blocks = 10;
  report.counts.num_cached_blocks = 60;
  report.counts.num_used_blocks = 30;
  report.counts.total_prompt_tokens = 1000;
  report.counts.total_cached_tokens = 256;
  report.counts.total_generated_tokens = 50;
  report.counts.total_preemptions = 2;
  report.counts.total_ended = {5, 4, 3, 2, 1};
  metrics_.ObserveStep(report);
  report.counts.num_running = 0;
  report.counts.total_prompt_tokens = 1500;
  report.counts.total_cached_tokens = 320;
  report.counts.total_generated_tokens = 60;
  report.counts.total_ended = {6, 4, 3, 2, 1};
  metrics_.ObserveStep(report);
  EXPECT_EQ(Value("hadal_requests_running", {}), 0);
  EXPECT_EQ(Value("hadal_requests_preempted", {}), 1);
  EXPECT_EQ(Value("hadal_requests_waiting", {}), 7);
  EXPECT_EQ(Value("hadal_kv_blocks", {{"state", "free"}}), 10);
  EXPECT_EQ(Value("hadal_kv_blocks", {{"state", "cached"}}), 60);
  EXPECT_EQ(Value("hadal_kv_blocks", {{"state", "used"}}), 30);
  EXPECT_DOUBLE_EQ(Value("hadal_kv_usage_ratio", {}), 0.3);
  EXPECT_EQ(Value("hadal_prefix_cache_queries_tokens_total", {}), 1500);
  EXPECT_EQ(Value("hadal_prefix_cache_hits_tokens_total", {}), 320);
  EXPECT_EQ(Value("hadal_prompt_tokens_total", {{"source", "computed"}}), 1180);
  EXPECT_EQ(Value("hadal_prompt_tokens_total", {{"source", "cached"}}), 320);
  EXPECT_EQ(Value("hadal_sampled_tokens_total", {}), 60);
  EXPECT_EQ(Value("hadal_preemptions_total", {{"kind", "recompute"}}), 2);
  EXPECT_EQ(Value("hadal_requests_ended_total", {{"reason", "stop"}}), 6);
  EXPECT_EQ(Value("hadal_requests_ended_total", {{"reason", "failed"}}), 1);
}

TEST_F(StepMetricsTest, StatsAddUp) {
  const StepStats stats = {.context_tokens = 400,
                           .attended_tokens = 200,
                           .attendable_tokens = 400,
                           .flops = 1e12,
                           .weight_bytes = 2'000'000,
                           .total_weight_bytes = 8'000'000,
                           .cache_bytes = 500'000};
  StepReport report;
  report.stats = &stats;
  report.num_not_finite = 1;
  metrics_.ObserveStep(report);
  const StepStats unknown = {.flops = 1e12};
  report.stats = &unknown;
  report.num_not_finite = 0;
  metrics_.ObserveStep(report);
  EXPECT_EQ(Value("hadal_estimated_flops_total", {}), 2e12);
  EXPECT_EQ(Value("hadal_estimated_memory_bytes_total", {}), 2.5e6);
  EXPECT_EQ(Value("hadal_step_active_parameters_ratio_sum", {}), 0.25);
  EXPECT_EQ(Value("hadal_step_active_parameters_ratio_count", {}), 1) << "unknown is not zero";
  EXPECT_EQ(Value("hadal_step_attended_tokens_ratio_sum", {}), 0.5);
  EXPECT_EQ(Value("hadal_step_attended_tokens_ratio_count", {}), 1);
  EXPECT_EQ(Value("hadal_spec_drafted_tokens_total", {{"position", "8"}}), 0);
  EXPECT_EQ(Value("hadal_numerical_errors_total", {}), 1);
}

TEST_F(StepMetricsTest, DraftsAreCountedByTheirPlace) {
  StepReport report;
  report.counts.total_drafted = {7, 5};
  report.counts.total_accepted = {6, 2};
  metrics_.ObserveStep(report);
  report.counts.total_drafted[1] = 6;
  metrics_.ObserveStep(report);
  EXPECT_EQ(Value("hadal_spec_drafted_tokens_total", {{"position", "1"}}), 7);
  EXPECT_EQ(Value("hadal_spec_drafted_tokens_total", {{"position", "2"}}), 6);
  EXPECT_EQ(Value("hadal_spec_accepted_tokens_total", {{"position", "1"}}), 6);
  EXPECT_EQ(Value("hadal_spec_accepted_tokens_total", {{"position", "2"}}), 2);
  EXPECT_EQ(Value("hadal_spec_accepted_tokens_total", {{"position", "3"}}), 0);
}

TEST_F(StepMetricsTest, IdleGaugesAreThoseOfTheMoment) {
  StepReport report;
  report.counts.num_running = 3;
  metrics_.ObserveStep(report);
  metrics_.ObserveIdle({});
  EXPECT_EQ(Value("hadal_requests_running", {}), 0);
  EXPECT_EQ(Value("hadal_step_tokens_count", {}), 1) << "there was no step";
}

}  // namespace
}  // namespace hadal
