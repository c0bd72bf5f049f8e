#include "scheduler/pace.h"

#include <algorithm>

namespace hadal {
namespace {

constexpr double kSmoothing = 0.1;   // weight of the newest step in a moving mean
constexpr double kQuickly = 0.5;     // the same, where what is measured changes with the load
constexpr int64_t kTimedEvery = 32;  // steps: one in so many has no chunk, to be timed
constexpr double kMaxGrowth = 2;     // of the bound, in a step
constexpr double kMaxStretch = 2;    // of a step without chunks, by a chunk

double Seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

// The first value begins the mean.
void AddToMean(double value, double weight, double& mean) {
  mean = mean == 0 ? value : mean + weight * (value - mean);
}

}  // namespace

Pace::Pace(const Limits& limits)
    : limits_(limits),
      max_chunk_tokens_(std::min(limits.min_chunk_tokens, limits.max_step_tokens)) {}

// The bound follows chunk · target / time: were all time the chunk's, the next step would take the
// target. Other work in the step makes it shrink too far, never too little, and a step that ran
// into the bound below the target lets it grow again.
void Pace::Observe(const Step& step) {
  const double seconds = Seconds(step.time);
  if (step.num_tokens <= 0 || seconds <= 0) {
    return;
  }
  AddToMean(seconds / static_cast<double>(step.num_tokens), kSmoothing, seconds_per_token_);
  if (step.num_chunk_tokens == 0) {
    AddToMean(seconds, kQuickly, seconds_without_chunks_);
    num_steps_with_chunks_ = 0;
    return;
  }
  ++num_steps_with_chunks_;
  const double target =
      std::max(Seconds(limits_.target_step_time), kMaxStretch * seconds_without_chunks_);
  const double ratio = std::min(kMaxGrowth, target / seconds);
  if (ratio >= 1 && step.num_chunk_tokens < max_chunk_tokens_) {
    return;  // the bound did not bind
  }
  const auto scaled = static_cast<int64_t>(static_cast<double>(step.num_chunk_tokens) * ratio);
  const int64_t lowest = std::min(limits_.min_chunk_tokens, limits_.max_step_tokens);
  max_chunk_tokens_ = std::clamp(scaled, lowest, limits_.max_step_tokens);
}

int64_t Pace::max_chunk_tokens() const {
  const bool is_timed = seconds_without_chunks_ > 0 && num_steps_with_chunks_ < kTimedEvery;
  return is_timed ? max_chunk_tokens_ : 0;
}

Duration Pace::time_per_token() const {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds_per_token_));
}

}  // namespace hadal
