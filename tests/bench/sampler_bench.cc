// The time to choose one token from the logits of a vocabulary of 129,280, on one thread.

#include <cstdint>
#include <random>
#include <vector>

#include <benchmark/benchmark.h>

#include "base/check.h"
#include "engine/sample/logprobs.h"
#include "engine/sample/sampler.h"

namespace hadal {
namespace {

constexpr size_t kVocabSize = 129'280;

// Normal logits: with a deviation of 1 nearly all tokens matter; with 3 and 14 more on a few of
// them, as in text, those few hold most of the mass.
enum class Shape : int64_t { kFlat, kPeaked, kEqual };

std::vector<float> MakeLogits(Shape shape) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, shape == Shape::kPeaked ? 3 : 1);
  std::vector<float> logits(kVocabSize);
  for (size_t i = 0; i < logits.size(); ++i) {
    logits[i] = shape == Shape::kEqual ? 1 : normal(random);
    if (shape == Shape::kPeaked && i % 10'000 == 17) {
      logits[i] += 14;
    }
  }
  return logits;
}

void BM_Sample(benchmark::State& state, const SamplingParams& params) {
  const std::vector<float> logits = MakeLogits(static_cast<Shape>(state.range(0)));
  std::vector<float> row = logits;  // nothing here changes it
  const std::vector<TokenId> tokens(4096);
  Sampler sampler(static_cast<int64_t>(kVocabSize));
  SampledToken sampled;
  size_t position = 0;
  for (auto _ : state) {
    position = (position + 1) % tokens.size();
    CHECK(sampler
              .Sample({.params = params,
                       .tokens = std::span(tokens).first(position),
                       .num_prompt_tokens = 0,
                       .num_logprobs = params.num_logprobs,
                       .logits = row},
                      sampled)
              .ok());
    benchmark::DoNotOptimize(sampled.token);
  }
}

void EachShape(benchmark::internal::Benchmark* benchmark) {
  for (const Shape shape : {Shape::kFlat, Shape::kPeaked, Shape::kEqual}) {
    benchmark->Arg(static_cast<int64_t>(shape));
  }
  benchmark->ArgName("shape")->Unit(benchmark::kMicrosecond);
}

BENCHMARK_CAPTURE(BM_Sample, greedy, {.temperature = 0})->Apply(EachShape);
BENCHMARK_CAPTURE(BM_Sample, greedy_logprobs_5, {.temperature = 0, .num_logprobs = 5})
    ->Apply(EachShape);
BENCHMARK_CAPTURE(BM_Sample, plain, {})->Apply(EachShape);
BENCHMARK_CAPTURE(BM_Sample, top_k_40, {.top_k = 40})->Apply(EachShape);
BENCHMARK_CAPTURE(BM_Sample, top_k_50000, {.top_k = 50'000})->Apply(EachShape);
BENCHMARK_CAPTURE(BM_Sample, top_p_0_9, {.top_p = 0.9F})->Apply(EachShape);
BENCHMARK_CAPTURE(BM_Sample, top_p_0_99, {.top_p = 0.99F})->Apply(EachShape);
BENCHMARK_CAPTURE(BM_Sample, top_k_40_top_p_0_95, {.top_k = 40, .top_p = 0.95F})->Apply(EachShape);
BENCHMARK_CAPTURE(BM_Sample, min_p_0_05, {.min_p = 0.05F})->Apply(EachShape);

void BM_LogSumExp(benchmark::State& state) {
  const std::vector<float> logits = MakeLogits(static_cast<Shape>(state.range(0)));
  for (auto _ : state) {
    benchmark::DoNotOptimize(LogSumExp(logits));
  }
}
BENCHMARK(BM_LogSumExp)->Apply(EachShape);

}  // namespace
}  // namespace hadal
