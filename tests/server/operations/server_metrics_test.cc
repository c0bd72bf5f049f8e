#include "server/operations/server_metrics.h"

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <thread>
#include <unistd.h>

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/operations/request_counts.h"
#include "tests/server/operations/metric_text.h"
#include "tests/support/test_folder.h"

namespace hadal {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

class ServerMetricsTest : public testing::Test {
 protected:
  // A series that carries the label `model`.
  double Value(const std::string& name, std::map<std::string, std::string> labels) {
    labels["model"] = "demo";
    return ValueOf(ParseMetricText(metrics_->Serialize()), name, labels);
  }

  std::unique_ptr<ServerMetrics> metrics_ = ServerMetrics::Create(
      {.version = "1.2.3", .model = "demo", .max_running_sequences = 64, .max_requests = 256});
};

// Every family of which a dashboard may be made, before anything has happened.
TEST_F(ServerMetricsTest, AllIsThereFromTheBeginningAtZero) {
  const std::string text = metrics_->Serialize();
  const MetricSeries series = ParseMetricText(text);
  for (const auto& [key, value] : series) {
    const std::string& name = key.first;
    if (name.starts_with("hadal_") && !name.ends_with("_info") && !name.starts_with("hadal_max_")) {
      EXPECT_EQ(value, 0) << name;
    }
  }
  for (const char* type : {"hadal_requests_total counter",
                           "hadal_requests_rejected_total counter",
                           "hadal_requests_ended_total counter",
                           "hadal_requests_waiting gauge",
                           "hadal_requests_running gauge",
                           "hadal_requests_preempted gauge",
                           "hadal_queue_prefill_tokens gauge",
                           "hadal_streams_open gauge",
                           "hadal_inflight_bytes gauge",
                           "hadal_kv_blocks gauge",
                           "hadal_kv_usage_ratio gauge",
                           "hadal_prefix_cache_queries_tokens_total counter",
                           "hadal_prefix_cache_hits_tokens_total counter",
                           "hadal_preemptions_total counter",
                           "hadal_time_to_first_token_seconds histogram",
                           "hadal_inter_token_latency_seconds histogram",
                           "hadal_time_per_output_token_seconds histogram",
                           "hadal_request_duration_seconds histogram",
                           "hadal_queue_time_seconds histogram",
                           "hadal_prefill_time_seconds histogram",
                           "hadal_decode_time_seconds histogram",
                           "hadal_prompt_tokens_total counter",
                           "hadal_generation_tokens_total counter",
                           "hadal_sampled_tokens_total counter",
                           "hadal_request_prompt_tokens histogram",
                           "hadal_request_generation_tokens histogram",
                           "hadal_engine_step_seconds histogram",
                           "hadal_step_phase_seconds_total counter",
                           "hadal_step_tokens histogram",
                           "hadal_batch_size histogram",
                           "hadal_step_failures_total counter",
                           "hadal_expert_load_imbalance_ratio gauge",
                           "hadal_expert_tokens_total counter",
                           "hadal_step_active_parameters_ratio histogram",
                           "hadal_step_attended_tokens_ratio histogram",
                           "hadal_estimated_flops_total counter",
                           "hadal_estimated_memory_bytes_total counter",
                           "hadal_spec_drafted_tokens_total counter",
                           "hadal_spec_accepted_tokens_total counter",
                           "hadal_kernel_info gauge",
                           "hadal_kernel_faults_total counter",
                           "hadal_kernel_demotions_total counter",
                           "hadal_engine_last_step_age_seconds gauge",
                           "hadal_watchdog_trips_total counter",
                           "hadal_numerical_errors_total counter",
                           "hadal_reactor_stall_seconds histogram",
                           "hadal_client_disconnects_total counter",
                           "hadal_slow_client_aborts_total counter",
                           "hadal_connections_open gauge",
                           "hadal_build_info gauge",
                           "hadal_model_info gauge",
                           "hadal_model_load_seconds gauge",
                           "process_cpu_seconds_total counter",
                           "process_resident_memory_bytes gauge",
                           "process_virtual_memory_bytes gauge",
                           "process_open_fds gauge",
                           "process_max_fds gauge",
                           "process_start_time_seconds gauge",
                           "process_threads gauge"}) {
    EXPECT_THAT(text, HasSubstr(absl::StrCat("# TYPE ", type, "\n")));
  }
  EXPECT_EQ(ValueOf(series, "hadal_build_info", {{"version", "1.2.3"}}), 1);
  EXPECT_EQ(Value("hadal_model_info", {}), 1);
  EXPECT_EQ(Value("hadal_max_running_sequences", {}), 64);
  EXPECT_EQ(Value("hadal_max_requests", {}), 256);
}

TEST_F(ServerMetricsTest, PromtoolFindsNothingToCriticise) {
  if (access("/usr/bin/promtool", X_OK) != 0) {
    GTEST_SKIP() << "./dev setup installs promtool";
  }
  metrics_->SetCache({.dtype = "bf16", .block_size = 64, .num_blocks = 100});
  metrics_->SetExperts({.first_layer = 1, .num_layers = 2, .num_experts = 4});
  metrics_->SetKernels([] {
    return std::vector<KernelHealth>{{.op = "linear", .implementation = "cpu-avx2"},
                                     {.op = "mla_attention", .implementation = "reference"}};
  });
  metrics_->CountRequest(RouteName::kChatCompletions, 418, "strange");
  const std::string path = FreshTestFolder() + "/metrics.txt";
  std::ofstream(path) << metrics_->Serialize();
  const std::string log = path + ".log";
  const int status = std::system(
      absl::StrCat("/usr/bin/promtool check metrics <", path, " >", log, " 2>&1").c_str());
  std::ifstream output(log);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(output), {}), "");
}

TEST_F(ServerMetricsTest, RequestsCountInClosedSets) {
  metrics_->CountRequest(RouteName::kChatCompletions, 200, "stop");
  metrics_->CountRequest(RouteName::kChatCompletions, 200, "stop");
  metrics_->CountRequest(RouteName::kGrpcGenerate, 200, "length");
  metrics_->CountRequest(RouteName::kModels, 404, "");
  const size_t num_series = ParseMetricText(metrics_->Serialize()).size();
  for (int i = 0; i < 1000; ++i) {
    metrics_->CountRequest(RouteName::kOther, 1000 + i, absl::StrCat("reason-", i));
  }
  EXPECT_EQ(ParseMetricText(metrics_->Serialize()).size(), num_series + 1);
  const auto count = [this](const char* route, const char* code, const char* reason) {
    return Value("hadal_requests_total",
                 {{"route", route}, {"code", code}, {"finish_reason", reason}});
  };
  EXPECT_EQ(count("chat_completions", "200", "stop"), 2);
  EXPECT_EQ(count("chat_completions", "200", "length"), 0);
  EXPECT_EQ(count("grpc_generate", "200", "length"), 1);
  EXPECT_EQ(count("models", "404", "none"), 1);
  EXPECT_EQ(count("other", "other", "other"), 1000);
}

TEST_F(ServerMetricsTest, EveryRouteIsCounted) {
  for (int i = 0; i <= static_cast<int>(RouteName::kOther); ++i) {
    const auto route = static_cast<RouteName>(i);
    metrics_->CountRequest(route, 505, "");
    EXPECT_EQ(
        Value("hadal_requests_total",
              {{"route", std::string(NameOf(route))}, {"code", "505"}, {"finish_reason", "none"}}),
        1)
        << i;
  }
}

TEST_F(ServerMetricsTest, EveryRouteHasItsName) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(RouteName::kOther); ++i) {
    names.insert(NameOf(static_cast<RouteName>(i)));
  }
  EXPECT_EQ(names.size(), RequestCounts::kNumRoutes);
  EXPECT_FALSE(names.contains(""));
}

TEST_F(ServerMetricsTest, RejectionsAndTokensCountByTheirEnums) {
  const std::vector<std::string> reasons = {
      "requests", "tokens", "memory", "draining", "deadline", "invalid"};
  for (size_t i = 0; i < reasons.size(); ++i) {
    for (size_t times = 0; times <= i; ++times) {
      metrics_->CountRejection(static_cast<RejectReason>(i));
    }
  }
  for (size_t i = 0; i < reasons.size(); ++i) {
    EXPECT_EQ(Value("hadal_requests_rejected_total", {{"reason", reasons[i]}}), i + 1);
  }
  metrics_->CountTokens(AnswerPhase::kReasoning, 5);
  metrics_->CountTokens(AnswerPhase::kContent, 3);
  metrics_->CountTokens(AnswerPhase::kContent, 4);
  metrics_->CountTokens(AnswerPhase::kTool, 1);
  EXPECT_EQ(Value("hadal_generation_tokens_total", {{"phase", "reasoning"}}), 5);
  EXPECT_EQ(Value("hadal_generation_tokens_total", {{"phase", "content"}}), 7);
  EXPECT_EQ(Value("hadal_generation_tokens_total", {{"phase", "tool"}}), 1);
}

TEST_F(ServerMetricsTest, AGenerationIsTakenApart) {
  metrics_->ObserveGeneration({.queue = milliseconds(100),
                               .first_token = milliseconds(350),
                               .decode = seconds(2),
                               .total = milliseconds(2400),
                               .num_prompt_tokens = 70,
                               .num_completion_tokens = 60,
                               .max_completion_tokens = 41});
  EXPECT_DOUBLE_EQ(Value("hadal_queue_time_seconds_sum", {}), 0.1);
  EXPECT_DOUBLE_EQ(Value("hadal_time_to_first_token_seconds_sum", {}), 0.35);
  EXPECT_DOUBLE_EQ(Value("hadal_prefill_time_seconds_sum", {}), 0.25);
  EXPECT_DOUBLE_EQ(Value("hadal_decode_time_seconds_sum", {}), 2);
  EXPECT_DOUBLE_EQ(Value("hadal_time_per_output_token_seconds_sum", {}), 0.05);
  EXPECT_DOUBLE_EQ(Value("hadal_request_duration_seconds_sum", {}), 2.4);
  EXPECT_EQ(Value("hadal_request_prompt_tokens_sum", {}), 70);
  EXPECT_EQ(Value("hadal_request_generation_tokens_sum", {}), 60);
  EXPECT_EQ(Value("hadal_request_duration_seconds_bucket", {{"le", "2"}}), 0);
  EXPECT_EQ(Value("hadal_request_duration_seconds_bucket", {{"le", "2.5"}}), 1);
}

TEST_F(ServerMetricsTest, WhatNeverCameIsNotObserved) {
  metrics_->ObserveGeneration({.queue = seconds(1), .total = seconds(1), .num_prompt_tokens = 3});
  metrics_->ObserveGeneration({.first_token = seconds(1),
                               .total = seconds(1),
                               .num_completion_tokens = 1,
                               .max_completion_tokens = 1});
  EXPECT_EQ(Value("hadal_request_duration_seconds_count", {}), 2);
  EXPECT_EQ(Value("hadal_queue_time_seconds_count", {}), 2);
  EXPECT_EQ(Value("hadal_time_to_first_token_seconds_count", {}), 1);
  EXPECT_EQ(Value("hadal_time_per_output_token_seconds_count", {}), 0);
}

TEST_F(ServerMetricsTest, LatencyEdgesBelongToTheirBucket) {
  metrics_->ObserveInterTokenLatency(milliseconds(15));
  metrics_->ObserveInterTokenLatency(milliseconds(80));
  metrics_->ObserveInterTokenLatency(milliseconds(81));
  const auto bucket = [this](const char* le) {
    return Value("hadal_inter_token_latency_seconds_bucket", {{"le", le}});
  };
  EXPECT_EQ(bucket("0.01"), 0);
  EXPECT_EQ(bucket("0.015"), 1);
  EXPECT_EQ(bucket("0.06"), 1);
  EXPECT_EQ(bucket("0.08"), 2);
  EXPECT_EQ(bucket("0.1"), 3);
  EXPECT_EQ(bucket("+Inf"), 3);
}

TEST_F(ServerMetricsTest, GaugesOfConnectionsAndStreamsGoBothWays) {
  metrics_->ChangeOpenStreams(3);
  metrics_->ChangeOpenStreams(-2);
  metrics_->ChangeInFlightBytes(1000);
  metrics_->ChangeInFlightBytes(-1000);
  metrics_->ChangeConnections(2);
  metrics_->ChangeConnections(-1);
  metrics_->CountDisconnect();
  metrics_->CountSlowClient();
  metrics_->CountWatchdogTrip();
  metrics_->ObserveReactorStall(milliseconds(7));
  const MetricSeries series = ParseMetricText(metrics_->Serialize());
  EXPECT_EQ(Value("hadal_streams_open", {}), 1);
  EXPECT_EQ(Value("hadal_inflight_bytes", {}), 0);
  EXPECT_EQ(ValueOf(series, "hadal_connections_open", {}), 1);
  EXPECT_EQ(Value("hadal_client_disconnects_total", {}), 1);
  EXPECT_EQ(Value("hadal_slow_client_aborts_total", {}), 1);
  EXPECT_EQ(Value("hadal_watchdog_trips_total", {}), 1);
  EXPECT_EQ(ValueOf(series, "hadal_reactor_stall_seconds_bucket", {{"le", "0.005"}}), 0);
  EXPECT_EQ(ValueOf(series, "hadal_reactor_stall_seconds_bucket", {{"le", "0.01"}}), 1);
}

TEST_F(ServerMetricsTest, TheMomentIsAskedForAtEachScrapeUntilItIsTakenBack) {
  int num_asked = 0;
  metrics_->SetMoment([&num_asked] {
    ++num_asked;
    return ServerMoment{.step_age = seconds(12), .queue_prefill_tokens = 345};
  });
  EXPECT_EQ(Value("hadal_engine_last_step_age_seconds", {}), 12);
  EXPECT_EQ(Value("hadal_queue_prefill_tokens", {}), 345);
  EXPECT_EQ(num_asked, 2);
  metrics_->SetMoment(nullptr);
  metrics_->Serialize();
  EXPECT_EQ(num_asked, 2);
}

TEST_F(ServerMetricsTest, CacheLoadTimeAndKernelsAreShownOnceKnown) {
  metrics_->SetCache({.dtype = "bf16", .block_size = 64, .num_blocks = 100});
  metrics_->SetLoadTime(milliseconds(1500));
  std::vector<KernelHealth> kernels = {{.op = "linear", .implementation = "cpu-avx2"},
                                       {.op = "mlp", .implementation = "cpu-avx2"}};
  metrics_->SetKernels([&kernels] { return kernels; });
  EXPECT_EQ(Value("hadal_cache_config_info",
                  {{"dtype", "bf16"}, {"block_size", "64"}, {"num_blocks", "100"}}),
            1);
  EXPECT_EQ(Value("hadal_kv_blocks", {{"state", "free"}}), 100);
  EXPECT_EQ(Value("hadal_model_load_seconds", {}), 1.5);
  EXPECT_EQ(Value("hadal_kernel_info", {{"op", "mlp"}, {"implementation", "cpu-avx2"}}), 1);
  EXPECT_EQ(Value("hadal_kernel_faults_total", {{"op", "mlp"}}), 0);

  kernels[1] = {.op = "mlp", .implementation = "reference", .num_faults = 2, .demoted = true};
  EXPECT_EQ(Value("hadal_kernel_info", {{"op", "mlp"}, {"implementation", "reference"}}), 1);
  EXPECT_EQ(Value("hadal_kernel_info", {{"op", "linear"}, {"implementation", "cpu-avx2"}}), 1);
  EXPECT_EQ(Value("hadal_kernel_faults_total", {{"op", "mlp"}}), 2);
  EXPECT_EQ(Value("hadal_kernel_demotions_total", {{"op", "mlp"}}), 1);
  EXPECT_EQ(Value("hadal_kernel_demotions_total", {{"op", "linear"}}), 0);
  EXPECT_THAT(metrics_->Serialize(), Not(HasSubstr("op=\"mlp\",implementation=\"cpu-avx2\"")));
}

TEST_F(ServerMetricsTest, HistogramsAddUpAndCountersOnlyRiseWhileThreadsObserve) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this] {
      for (int request = 0; request < 200; ++request) {
        metrics_->CountRequest(RouteName::kCompletions, 200, "length");
        metrics_->ObserveInterTokenLatency(milliseconds(request));
        metrics_->ObserveGeneration({.queue = milliseconds(request), .total = milliseconds(1000)});
      }
    });
  }
  MetricSeries before = ParseMetricText(metrics_->Serialize());
  for (int scrape = 0; scrape < 5; ++scrape) {
    MetricSeries now = ParseMetricText(metrics_->Serialize());
    for (const auto& [key, value] : before) {
      if (key.first.ends_with("_total") || key.first.ends_with("_bucket")) {
        EXPECT_GE(now[key], value) << key.first;
      }
    }
    before = std::move(now);
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(Value("hadal_requests_total",
                  {{"route", "completions"}, {"code", "200"}, {"finish_reason", "length"}}),
            800);
  EXPECT_EQ(Value("hadal_inter_token_latency_seconds_count", {}), 800);
  EXPECT_EQ(Value("hadal_inter_token_latency_seconds_bucket", {{"le", "+Inf"}}), 800);
  EXPECT_EQ(Value("hadal_request_duration_seconds_count", {}), 800);
}

TEST(ServerMetricsLabelTest, AModelMayHaveAnyName) {
  const std::string name = "a\"b\\c";
  const auto metrics = ServerMetrics::Create({.version = "1", .model = name});
  metrics->SetExperts({.first_layer = 0, .num_layers = 1, .num_experts = 1});
  const MetricSeries series = ParseMetricText(metrics->Serialize());
  EXPECT_EQ(ValueOf(series, "hadal_model_info", {{"model", name}}), 1);
  EXPECT_EQ(
      ValueOf(
          series, "hadal_expert_tokens_total", {{"model", name}, {"layer", "0"}, {"expert", "0"}}),
      0);
}

}  // namespace
}  // namespace hadal
