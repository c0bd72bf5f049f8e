#include "scheduler/pace.h"

#include <algorithm>

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
// Returns the longest of the last steps.
Duration Settle(const Machine& machine, int64_t num_single, Pace& pace) {
  Duration longest{};
  for (int i = 0; i < 100; ++i) {
    const int64_t chunk = pace.max_chunk_tokens();
    const Duration time = machine.TimeOf(num_single + chunk);
    pace.Observe({.num_tokens = num_single + chunk, .num_chunk_tokens = chunk, .time = time});
    longest = i < 50 ? Duration::zero() : std::max(longest, time);
  }
  return longest;
}

// The bound, where it is not a step without chunks that is due.
int64_t Bound(const Machine& machine, int64_t num_single, Pace& pace) {
  if (pace.max_chunk_tokens() == 0) {
    pace.Observe(
        {.num_tokens = num_single, .num_chunk_tokens = 0, .time = machine.TimeOf(num_single)});
  }
  return pace.max_chunk_tokens();
}

TEST(PaceTest, ChunksGrowToTheTarget) {
  Pace pace(kLimits);
  const Duration time = Settle({milliseconds(10), microseconds(100)}, 32, pace);
  EXPECT_GE(time, milliseconds(47));
  EXPECT_LE(time, milliseconds(50));
}

TEST(PaceTest, AFastMachineNeedsNoBound) {
  const Machine fast = {milliseconds(1), microseconds(1)};
  Pace pace(kLimits);
  Settle(fast, 32, pace);
  EXPECT_EQ(Bound(fast, 32, pace), kLimits.max_step_tokens);
}

TEST(PaceTest, ShrinksWhenStepsGetSlower) {
  Pace pace(kLimits);
  Settle({milliseconds(1), microseconds(1)}, 32, pace);
  const Duration time = Settle({milliseconds(10), microseconds(100)}, 32, pace);
  EXPECT_LE(time, milliseconds(50));
}

TEST(PaceTest, ASlowMachineStretchesAStepTwofoldAtMost) {
  const Machine slow = {milliseconds(400), milliseconds(1)};
  Pace pace(kLimits);
  const Duration time = Settle(slow, 8, pace);
  EXPECT_GT(time, milliseconds(700));
  EXPECT_LE(time, 2 * slow.TimeOf(8));
}

TEST(PaceTest, WhereChunksCostTooMuchTheyStillMove) {
  const Machine machine = {milliseconds(1), milliseconds(100)};
  Pace pace(kLimits);
  Settle(machine, 1, pace);
  EXPECT_EQ(Bound(machine, 1, pace), kLimits.min_chunk_tokens);
}

TEST(PaceTest, AStepWithoutChunksIsTimedFirstAndNowAndThen) {
  Pace pace(kLimits);
  EXPECT_EQ(pace.max_chunk_tokens(), 0);
  int64_t num_without = 0;
  for (int i = 0; i < 330; ++i) {
    const int64_t chunk = pace.max_chunk_tokens();
    num_without += chunk == 0 ? 1 : 0;
    pace.Observe({.num_tokens = 1 + chunk, .num_chunk_tokens = chunk, .time = milliseconds(1)});
  }
  EXPECT_EQ(num_without, 10);
}

TEST(PaceTest, AChunkThatWasShortAnywaySaysNothingOfTheBound) {
  const Machine machine = {milliseconds(10), microseconds(100)};
  Pace pace(kLimits);
  Settle(machine, 32, pace);
  const int64_t bound = Bound(machine, 32, pace);
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
