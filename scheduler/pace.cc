#include "scheduler/pace.h"

#include <algorithm>

namespace hadal {
namespace {

constexpr double kSmoothing = 0.1;  // weight of the newest step in the moving mean
constexpr double kMaxGrowth = 2;    // of the bound, in a step
constexpr double kMaxStretch = 2;   // of a step without chunks, by a chunk

double Seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

// The first value begins the mean.
void AddToMean(double value, double& mean) {
  mean = mean == 0 ? value : mean + kSmoothing * (value - mean);
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
  AddToMean(seconds / static_cast<double>(step.num_tokens), seconds_per_token_);
  if (step.num_chunk_tokens == 0) {
    AddToMean(seconds, seconds_without_chunks_);
    return;
  }
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

Duration Pace::time_per_token() const {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds_per_token_));
}

}  // namespace hadal
