// What metrics cost: where tokens are sent, where steps end, and at a scrape.

#include <memory>
#include <vector>

#include <benchmark/benchmark.h>

#include "server/operations/server_metrics.h"

namespace hadal {
namespace {

constexpr ExpertShape kShape = {.first_layer = 3, .num_layers = 58, .num_experts = 256};

ServerMetrics& SharedMetrics() {
  static const std::unique_ptr<ServerMetrics> kMetrics = [] {
    auto metrics = ServerMetrics::Create({.version = "0", .model = "deepseek-v3"});
    metrics->SetExperts(kShape);
    return metrics;
  }();
  return *kMetrics;
}

// Tokens of a step of 64 sequences, each routed to 8 experts in each layer.
std::vector<int32_t> TokensOfAStep() {
  std::vector<int32_t> tokens(static_cast<size_t>(kShape.num_layers * kShape.num_experts));
  for (size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<int32_t>(i * 7 % 5);
  }
  return tokens;
}

void BM_ObserveInterTokenLatency(benchmark::State& state) {
  Duration latency = std::chrono::microseconds(1);
  for (auto _ : state) {
    SharedMetrics().ObserveInterTokenLatency(latency);
    latency = latency * 3 % std::chrono::milliseconds(200);
  }
}
BENCHMARK(BM_ObserveInterTokenLatency)->ThreadRange(1, 4)->UseRealTime();

void BM_CountTokens(benchmark::State& state) {
  for (auto _ : state) {
    SharedMetrics().CountTokens(AnswerPhase::kContent, 1);
  }
}
BENCHMARK(BM_CountTokens)->ThreadRange(1, 4)->UseRealTime();

void BM_CountRequest(benchmark::State& state) {
  for (auto _ : state) {
    SharedMetrics().CountRequest(RouteName::kChatCompletions, 200, "length");
  }
}
BENCHMARK(BM_CountRequest);

void BM_ObserveStep(benchmark::State& state) {
  StepReport report;
  report.num_tokens = 64;
  report.num_sequences = 64;
  for (auto _ : state) {
    report.counts.total_generated_tokens += 64;
    SharedMetrics().ObserveStep(report);
  }
}
BENCHMARK(BM_ObserveStep);

void BM_ObserveStatsOf58LayersOf256Experts(benchmark::State& state) {
  const StepStats stats = {.expert_tokens = TokensOfAStep(), .flops = 1e12};
  StepReport report;
  report.stats = &stats;
  for (auto _ : state) {
    SharedMetrics().ObserveStep(report);
  }
}
BENCHMARK(BM_ObserveStatsOf58LayersOf256Experts);

void BM_ScrapeOf58LayersOf256Experts(benchmark::State& state) {
  size_t num_bytes = 0;
  for (auto _ : state) {
    num_bytes = SharedMetrics().Serialize().size();
  }
  state.counters["bytes"] = static_cast<double>(num_bytes);
}
BENCHMARK(BM_ScrapeOf58LayersOf256Experts)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace hadal
