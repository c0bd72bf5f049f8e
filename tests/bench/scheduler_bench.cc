// Host time of the scheduler per step, and of finding a long prompt in the prefix cache. The step
// itself takes no time: what remains is what a device would wait for.

#include <memory>
#include <optional>

#include <benchmark/benchmark.h>

#include "base/check.h"
#include "engine/api/forward_batch.h"
#include "scheduler/scheduler.h"

namespace hadal {
namespace {

constexpr int64_t kContextTokens = 1024;  // before the first timed step
constexpr int64_t kNumSteps = 2000;       // timed: the context is 2000 tokens on average
constexpr int64_t kNumTenants = 16;

std::unique_ptr<LiveRequest> MakeLive(int64_t id, int64_t num_prompt_tokens) {
  Request request;
  request.id = RequestId{id};
  request.max_new_tokens = 2 * kNumSteps;
  request.tenant = TenantId{static_cast<int32_t>(id % kNumTenants)};
  for (int64_t i = 0; i < num_prompt_tokens; ++i) {
    request.prompt.push_back(static_cast<TokenId>((id * 7919 + i) % 100'000));
  }
  return std::make_unique<LiveRequest>(std::move(request));
}

Limits MakeLimits(int64_t num_running) {
  return {.max_running_sequences = num_running,
          .max_step_tokens = 4096,
          .max_requests = 20'000,
          .max_waiting_tokens = 100'000'000,
          .max_sequence_tokens = 100'000,
          .num_blocks = num_running * 100,
          .starvation_age = std::chrono::hours(1)};
}

// All the host's work for a step that succeeds at once. Returns the step's tokens.
int64_t Step(Scheduler& scheduler, StepInput& input, StepOutput& output, TimePoint& now) {
  const StepPlan& plan = scheduler.Plan(now);
  BuildStepInput(plan, input);
  output.health.assign(static_cast<size_t>(input.batch.num_sequences()), RowHealth::kFinite);
  output.samples.resize(input.samples.size());
  now += std::chrono::milliseconds(10);
  scheduler.Apply(absl::OkStatus(), output, now);
  benchmark::DoNotOptimize(scheduler.events().data());
  scheduler.ClearEvents();
  return plan.num_tokens;
}

// Arguments: running sequences, requests that wait for one of their places.
void BM_Step(benchmark::State& state) {
  const int64_t num_running = state.range(0);
  Scheduler scheduler(MakeLimits(num_running));
  StepInput input;
  StepOutput output;
  TimePoint now{};
  for (int64_t id = 0; id < num_running; ++id) {
    CHECK(scheduler.Add(MakeLive(id, kContextTokens), now).ok());
  }
  while (Step(scheduler, input, output, now) != num_running) {
  }
  for (int64_t id = num_running; id < num_running + state.range(1); ++id) {
    CHECK(scheduler.Add(MakeLive(id, 100), now).ok());
  }
  for (auto _ : state) {
    CHECK_EQ(Step(scheduler, input, output, now), num_running);
  }
}
BENCHMARK(BM_Step)
    ->Args({64, 0})
    ->Args({64, 10'000})
    ->Args({1024, 0})
    ->Args({1024, 10'000})
    ->ArgNames({"running", "waiting"})
    ->Iterations(kNumSteps)
    ->Repetitions(5)
    ->ReportAggregatesOnly()
    ->Unit(benchmark::kMicrosecond);

// Argument: tokens of a prompt that is cached as a whole. Other prompts fill the cache as well.
void BM_FindPrefix(benchmark::State& state) {
  constexpr int64_t kNumPrompts = 20;
  const int64_t num_blocks = state.range(0) / kBlockSize;
  BlockPool pool(num_blocks * kNumPrompts);
  PrefixCache cache(pool);
  std::unique_ptr<LiveRequest> live;
  for (int64_t id = 0; id < kNumPrompts; ++id) {
    live = MakeLive(id, state.range(0));
    const Sequence& sequence = live->leader();
    std::optional<BlockId> parent;
    for (int64_t i = 0; i < num_blocks; ++i) {
      parent = cache.Insert({.parent = parent,
                             .salt = SaltOf(live->request),
                             .hash = sequence.hashes[static_cast<size_t>(i)],
                             .tokens = std::span(sequence.tokens)
                                           .subspan(static_cast<size_t>(i * kBlockSize),
                                                    static_cast<size_t>(kBlockSize)),
                             .block = *cache.Allocate()});
    }
  }
  const Sequence& sequence = live->leader();
  std::vector<BlockId> found;
  for (auto _ : state) {
    found.clear();
    const PrefixCache::Match match =
        cache.Find(SaltOf(live->request), sequence.tokens, sequence.hashes, found);
    CHECK_EQ(match.num_blocks, num_blocks);
  }
}
BENCHMARK(BM_FindPrefix)->Arg(32 * 1024)->ArgName("tokens")->Unit(benchmark::kMicrosecond);

// Argument: tokens of a prompt. What a request's own thread does before it is handed in.
void BM_HashPrompt(benchmark::State& state) {
  const Request request = MakeLive(1, state.range(0))->request;
  for (auto _ : state) {
    LiveRequest live(request);
    benchmark::DoNotOptimize(live.leader().hashes.data());
  }
}
BENCHMARK(BM_HashPrompt)->Arg(32 * 1024)->ArgName("tokens")->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace hadal
