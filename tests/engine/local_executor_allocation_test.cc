// Steps allocate nothing once their like has run: neither through operator new, which this program
// replaces, nor from the device.

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/support/allocation_counter.h"
#include "tests/support/test_steps.h"

namespace hadal {
namespace {

class LocalExecutorAllocationTest : public testing::TestWithParam<std::string> {
 protected:
  // Greedy, sampled, with penalties, with log-probabilities.
  std::vector<TestSequence> MakeSequences() const {
    const std::vector<SamplingParams> params = {
        {.temperature = 0},
        {.top_k = 30, .top_p = 0.9F, .min_p = 0.001F, .seed = 1, .num_logprobs = 5},
        {.temperature = 0.8F,
         .presence_penalty = 0.1F,
         .frequency_penalty = 0.1F,
         .repetition_penalty = 1.1F,
         .logit_bias = {{1, 3.0F}},
         .min_tokens = 60,
         .ending_token_ids = {2, 3},
         .seed = 2,
         .num_logprobs = 20}};
    const std::vector<TokenId> ids = golden_.Ids("input_ids");
    std::vector<TestSequence> sequences;
    for (const SamplingParams& sampling : params) {
      const auto s = static_cast<int32_t>(sequences.size());
      sequences.push_back({.tokens = ids,
                           .num_prompt_tokens = 50,
                           .blocks = {2 * s + 1, 2 * s},
                           .params = sampling});
    }
    return sequences;
  }

  // Chunks of prompts, mixed steps, decoding, one sequence alone; a copy in each; some steps sample
  // nothing.
  static std::vector<StepInput> MakeSteps(std::vector<TestSequence>& sequences) {
    std::vector<StepInput> steps;
    const std::vector<std::vector<int64_t>> plans = {{40, 40, 16},
                                                     {10, 1, 30},
                                                     {1, 1, 1},
                                                     {0, 1, 0},
                                                     {1, 1, 1},
                                                     {1, 0, 1},
                                                     {1, 1, 1},
                                                     {6, 5, 4}};
    for (const std::vector<int64_t>& num_tokens : plans) {
      steps.push_back(MakeStep(sequences, num_tokens));
      steps.back().copies = {{.source = 6, .destination = 7}};
    }
    steps.front().samples.clear();
    return steps;
  }

  const Golden golden_ = Golden::Load(GetParam());
};

TEST_P(LocalExecutorAllocationTest, StepsAllocateNothingAfterWarmUp) {
  std::vector<TestSequence> sequences = MakeSequences();
  const std::vector<StepInput> steps = MakeSteps(sequences);
  ExecutorFixture fixture({.golden = golden_,
                           .kernels = BestKernels(),
                           .num_threads = 3,
                           .cache_dtype = DType::kBf16,
                           .num_blocks = 8,
                           .device = CountingDevice(),
                           .max_step_tokens = 96,
                           .max_samples = 8});
  StepOutput output;
  const int64_t before_warm_up = NumAllocations();
  for (int round = 0; round < 2; ++round) {
    for (const StepInput& step : steps) {
      fixture.Run(step, output);
    }
  }
  EXPECT_GT(NumAllocations(), before_warm_up) << "nothing is counted";
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < steps.size(); ++i) {
      const int64_t before = NumAllocations();
      fixture.Run(steps[i], output);
      const int64_t after = NumAllocations();
      EXPECT_EQ(after, before) << "round " << round << ", step " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases,
                         LocalExecutorAllocationTest,
                         testing::Values("v2-lite", "v2", "v3-fp8", "kimi"),
                         [](const auto& test_case) {
                           std::string name = test_case.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace hadal
