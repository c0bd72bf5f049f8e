// Steps allocate nothing once their like has run: neither through operator new, which this program
// replaces, nor from the device.

#include <atomic>
#include <cstdlib>
#include <new>

#include <gtest/gtest.h>

#include "tests/support/test_steps.h"

namespace {

std::atomic<int64_t> num_allocations = 0;

void* Allocate(size_t size_bytes, size_t alignment) {
  ++num_allocations;
  void* data = std::aligned_alloc(alignment, (size_bytes + alignment) / alignment * alignment);
  if (data == nullptr) {
    std::abort();
  }
  return data;
}

constexpr size_t kAlignment = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

}  // namespace

void* operator new(size_t size) {
  return Allocate(size, kAlignment);
}
void* operator new[](size_t size) {
  return Allocate(size, kAlignment);
}
void* operator new(size_t size, std::align_val_t alignment) {
  return Allocate(size, static_cast<size_t>(alignment));
}
void* operator new[](size_t size, std::align_val_t alignment) {
  return Allocate(size, static_cast<size_t>(alignment));
}
void* operator new(size_t size, const std::nothrow_t& /*tag*/) noexcept {
  return Allocate(size, kAlignment);
}
void* operator new[](size_t size, const std::nothrow_t& /*tag*/) noexcept {
  return Allocate(size, kAlignment);
}
void operator delete(void* data) noexcept {
  std::free(data);
}
void operator delete[](void* data) noexcept {
  std::free(data);
}
void operator delete(void* data, size_t /*size*/) noexcept {
  std::free(data);
}
void operator delete[](void* data, size_t /*size*/) noexcept {
  std::free(data);
}
void operator delete(void* data, std::align_val_t /*alignment*/) noexcept {
  std::free(data);
}
void operator delete[](void* data, std::align_val_t /*alignment*/) noexcept {
  std::free(data);
}
void operator delete(void* data, size_t /*size*/, std::align_val_t /*alignment*/) noexcept {
  std::free(data);
}
void operator delete[](void* data, size_t /*size*/, std::align_val_t /*alignment*/) noexcept {
  std::free(data);
}

namespace hadal {
namespace {

const Device& CountingDevice() {
  static constexpr Device kDevice = {"counting",
                                     [](size_t size_bytes) {
                                       ++num_allocations;
                                       return CpuDevice().allocate(size_bytes);
                                     },
                                     [](void* data) { CpuDevice().free(data); }};
  return kDevice;
}

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
  const int64_t before_warm_up = num_allocations;
  for (int round = 0; round < 2; ++round) {
    for (const StepInput& step : steps) {
      fixture.Run(step, output);
    }
  }
  EXPECT_GT(num_allocations, before_warm_up) << "nothing is counted";
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < steps.size(); ++i) {
      const int64_t before = num_allocations;
      fixture.Run(steps[i], output);
      const int64_t after = num_allocations;
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
