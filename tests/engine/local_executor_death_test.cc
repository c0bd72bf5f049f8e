#include <utility>

#include <gtest/gtest.h>

#include "engine/local_executor.h"
#include "tests/support/test_steps.h"

namespace hadal {
namespace {

constexpr int64_t kMaxSamples = 200;

TEST(LocalExecutorDeathTest, TheContractIsChecked) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const Golden golden = Golden::Load("v3-bf16");
  const std::vector<TokenId> ids = golden.Ids("input_ids");
  std::vector<TestSequence> sequences;
  for (int32_t s = 0; s < 4; ++s) {
    sequences.push_back({.tokens = {ids.begin(), ids.begin() + 40},
                         .num_prompt_tokens = 40,
                         .blocks = {s},
                         .params = {}});
  }
  ExecutorFixture fixture({.golden = golden,
                           .kernels = BestKernels(),
                           .num_threads = 3,
                           .cache_dtype = DType::kBf16,
                           .num_blocks = 4,
                           .device = CpuDevice(),
                           .max_step_tokens = 128,
                           .max_samples = kMaxSamples});
  LocalExecutor& executor = fixture.executor();
  const StepInput good = MakeStep(sequences, {20, 1, 40, 33});
  StepOutput output;
  EXPECT_DEATH(executor.Wait(output).IgnoreError(), "kIdle");
  EXPECT_DEATH(
      {
        executor.Submit(good);
        executor.Submit(good);
      },
      "kIdle");
  const std::vector<std::pair<const char*, void (*)(StepInput&)>> breaches = {
      {"no tokens", [](StepInput& i) { i.batch.token_ids.clear(); }},
      {"too many tokens", [](StepInput& i) { i.batch.token_ids.resize(129); }},
      {"too many samples", [](StepInput& i) { i.samples.resize(kMaxSamples + 1); }},
      {"row of another sequence", [](StepInput& i) { i.samples[0].row = 20; }},
      {"row outside the batch", [](StepInput& i) { i.samples[3].row = 94; }},
      {"sequence outside the batch", [](StepInput& i) { i.samples[3].sequence = 4; }},
      {"falling rows", [](StepInput& i) { std::swap(i.samples[0], i.samples[1]); }},
      {"no parameters", [](StepInput& i) { i.samples[1].params = nullptr; }},
      {"no tokens before a sample", [](StepInput& i) { i.samples[1].tokens = {}; }}};
  for (const auto& [name, breach] : breaches) {
    StepInput input = good;
    breach(input);
    EXPECT_DEATH(executor.Submit(input), "CHECK failed") << name;
  }
}

}  // namespace
}  // namespace hadal
