#include "tests/scheduler/simulation/simulation.h"

#include <gtest/gtest.h>

namespace hadal::test {
namespace {

// So many lives of 5000 steps in all; sanitizers slow them down tenfold.
#ifdef HADAL_SANITIZED
constexpr int64_t kNumSeeds = 80;
#else
constexpr int64_t kNumSeeds = 2000;
#endif
constexpr int64_t kNumShards = 8;

class SimulationTest : public testing::TestWithParam<int64_t> {};

TEST_P(SimulationTest, EveryInvariantHoldsAfterEveryStep) {
  SimulationResult sum;
  for (int64_t i = 0; i < kNumSeeds / kNumShards; ++i) {
    const SimulationResult result =
        Simulate({.seed = static_cast<uint64_t>(GetParam() * kNumSeeds / kNumShards + i)});
    EXPECT_GE(result.num_steps, 5000);
    sum.num_tokens += result.num_tokens;
    sum.num_cached_tokens += result.num_cached_tokens;
    sum.num_preemptions += result.num_preemptions;
    sum.num_copies += result.num_copies;
    sum.num_cancelled += result.num_cancelled;
    sum.num_stopped += result.num_stopped;
    sum.num_expired += result.num_expired;
    sum.num_failed += result.num_failed;
    sum.num_refused += result.num_refused;
    sum.most_steps_aged += result.most_steps_aged;
  }
  // A life in which nothing goes wrong shows nothing.
  for (const int64_t happened : {sum.num_tokens,
                                 sum.num_cached_tokens,
                                 sum.num_preemptions,
                                 sum.num_copies,
                                 sum.num_cancelled,
                                 sum.num_stopped,
                                 sum.num_expired,
                                 sum.num_failed,
                                 sum.num_refused,
                                 sum.most_steps_aged}) {
    EXPECT_GT(happened, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Shard, SimulationTest, testing::Range(int64_t{0}, kNumShards));

TEST(SimulationReplayTest, ASeedReplaysExactly) {
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const SimulationOptions options = {.seed = seed, .num_steps = 500};
    EXPECT_EQ(Describe(options, Simulate(options)), Describe(options, Simulate(options)));
    EXPECT_NE(Simulate(options).digest, Simulate({.seed = seed + 1, .num_steps = 500}).digest);
  }
}

}  // namespace
}  // namespace hadal::test
