#include "scheduler/pace.h"

#include <gtest/gtest.h>

namespace hadal {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr Limits kLimits = {
    .max_step_tokens = 2048, .min_chunk_tokens = 16, .target_step_time = milliseconds(50)};

// A machine on which a step takes `fixed` and `per_token` for each token.
struct Machine {
  Duration fixed;
  Duration per_token;

  [[nodiscard]] Duration TimeOf(int64_t num_tokens) const { return fixed + per_token * num_tokens; }
};

// Steps of `num_single` sequences that miss one token beside as long a chunk as is allowed.
Duration Settle(const Machine& machine, int64_t num_single, Pace& pace) {
  Duration time{};
  for (int i = 0; i < 50; ++i) {
    const int64_t chunk = pace.max_chunk_tokens();
    time = machine.TimeOf(num_single + chunk);
    pace.Observe({.num_tokens = num_single + chunk, .num_chunk_tokens = chunk, .time = time});
  }
  return time;
}

TEST(PaceTest, ChunksGrowToTheTarget) {
  Pace pace(kLimits);
  EXPECT_EQ(pace.max_chunk_tokens(), 16);
  const Duration time = Settle({milliseconds(10), microseconds(100)}, 32, pace);
  EXPECT_GE(time, milliseconds(47));
  EXPECT_LE(time, milliseconds(50));
}

TEST(PaceTest, AFastMachineNeedsNoBound) {
  Pace pace(kLimits);
  Settle({milliseconds(1), microseconds(1)}, 32, pace);
  EXPECT_EQ(pace.max_chunk_tokens(), kLimits.max_step_tokens);
}

TEST(PaceTest, ShrinksWhenStepsGetSlower) {
  Pace pace(kLimits);
  Settle({milliseconds(1), microseconds(1)}, 32, pace);
  const Duration time = Settle({milliseconds(10), microseconds(100)}, 32, pace);
  EXPECT_LE(time, milliseconds(50));
}

TEST(PaceTest, ASlowMachineStillMovesAndStretchesAStepTwofoldAtMost) {
  const Machine slow = {milliseconds(400), milliseconds(1)};
  Pace pace(kLimits);
  for (int i = 0; i < 10; ++i) {
    pace.Observe({.num_tokens = 8, .num_chunk_tokens = 0, .time = slow.TimeOf(8)});
  }
  const Duration time = Settle(slow, 8, pace);
  EXPECT_GT(time, milliseconds(700));
  EXPECT_LE(time, 2 * slow.TimeOf(8));

  Pace unaware(kLimits);
  Settle(slow, 8, unaware);
  EXPECT_EQ(unaware.max_chunk_tokens(), kLimits.min_chunk_tokens);
}

TEST(PaceTest, AChunkThatWasShortAnywaySaysNothingOfTheBound) {
  Pace pace(kLimits);
  Settle({milliseconds(10), microseconds(100)}, 32, pace);
  const int64_t bound = pace.max_chunk_tokens();
  pace.Observe({.num_tokens = 34, .num_chunk_tokens = 2, .time = milliseconds(13)});
  EXPECT_EQ(pace.max_chunk_tokens(), bound);
}

TEST(PaceTest, TimePerTokenIsAMovingMean) {
  Pace pace(kLimits);
  EXPECT_EQ(pace.time_per_token(), Duration::zero());
  pace.Observe({.num_tokens = 10, .num_chunk_tokens = 0, .time = milliseconds(10)});
  EXPECT_EQ(duration_cast<microseconds>(pace.time_per_token()), milliseconds(1));
  for (int i = 0; i < 100; ++i) {
    pace.Observe({.num_tokens = 10, .num_chunk_tokens = 0, .time = milliseconds(30)});
  }
  EXPECT_NEAR(static_cast<double>(pace.time_per_token().count()), 3e6, 1e3);
}

}  // namespace
}  // namespace hadal
