// From the scheduler's thread to the kernels' nothing is allocated per step once the same requests
// have run for a while.

#include <algorithm>

#include <gtest/gtest.h>

#include "scheduler/scheduler_loop.h"
#include "tests/support/allocation_counter.h"
#include "tests/support/test_steps.h"

namespace hadal {
namespace {

constexpr int64_t kNumRequests = 12;
constexpr int64_t kMaxNewTokens = 300;
constexpr int64_t kWarmUpSteps = 100;

Request MakeRequest(int64_t id) {
  Request request;
  request.id = RequestId{id};
  request.prompt.assign(static_cast<size_t>(20 + 7 * id), static_cast<TokenId>(id));
  request.max_new_tokens = kMaxNewTokens;
  request.num_sequences = id == 3 ? 3 : 1;
  request.sampling = {.temperature = id % 2 == 0 ? 0 : 1.0F,
                      .top_p = 0.9F,
                      .frequency_penalty = id % 3 == 0 ? 0.1F : 0.0F,
                      .seed = static_cast<uint64_t>(id),
                      .num_logprobs = id % 4 == 0 ? 5 : -1};
  return request;
}

// With so many draft tokens.
class LoopAllocationTest : public testing::TestWithParam<int64_t> {};

TEST_P(LoopAllocationTest, StepsAllocateNothingAfterWarmUp) {
  const Golden golden = Golden::Load("v3-bf16");
  const Limits limits = {
      .vocab_size = 200, .max_step_tokens = 128, .max_draft_tokens = GetParam(), .num_blocks = 256};
  ExecutorFixture fixture(
      {.golden = golden,
       .kernels = BestKernels(),
       .num_threads = 2,
       .cache_dtype = DType::kBf16,
       .num_blocks = limits.num_blocks,
       .device = CountingDevice(),
       .max_step_tokens = limits.max_step_tokens,
       .max_samples = limits.max_running_sequences * (1 + limits.max_draft_tokens),
       .can_draft = limits.max_draft_tokens > 0});
  const SteadyClock clock;
  // One entry for each step in which all sequences took part, after which all went on.
  std::vector<int64_t> allocations;
  allocations.reserve(kMaxNewTokens);
  const auto observe = [&allocations](const StepReport& report) {
    if (report.num_sequences == kNumRequests + 2 && report.counts.num_running == kNumRequests + 2 &&
        allocations.size() < allocations.capacity()) {
      allocations.push_back(NumAllocations());
    }
  };
  std::vector<std::shared_ptr<TokenStream>> streams;
  {
    absl::StatusOr<std::unique_ptr<SchedulerLoop>> loop = SchedulerLoop::Create(
        {.limits = limits, .executor = fixture.executor(), .clock = clock, .observe = observe});
    ASSERT_TRUE(loop.ok());
    for (int64_t id = 0; id < kNumRequests; ++id) {
      auto stream = (*loop)->Submit(MakeRequest(id), nullptr);
      ASSERT_TRUE(stream.ok());
      streams.push_back(*std::move(stream));
    }
    (*loop)->Drain();
  }
  ASSERT_GT(std::ssize(allocations), 2 * kWarmUpSteps);
  EXPECT_EQ(allocations[kWarmUpSteps], allocations.back());
  for (const std::shared_ptr<TokenStream>& stream : streams) {
    std::vector<TokenStream::Item> items;
    EXPECT_FALSE(stream->Read(absl::ZeroDuration(), items));
    EXPECT_GT(std::ssize(items), kMaxNewTokens);
  }
}

INSTANTIATE_TEST_SUITE_P(DraftTokens, LoopAllocationTest, testing::Values(0, 3));

}  // namespace
}  // namespace hadal
