#pragma once

#include <cstdint>

#include "base/clock.h"
#include "scheduler/limits.h"

namespace hadal {

/// What steps take on this machine, measured while they run, and what follows for the next: how
/// many tokens of chunks may ride beside sequences that miss one token, so that a step stays near
/// the target time, or near twice the time of a step without chunks where that alone is longer; and
/// how long a token takes. Owned by the scheduler's thread.
class Pace {
 public:
  explicit Pace(const Limits& limits);

  struct Step {
    int64_t num_tokens = 0;        // all
    int64_t num_chunk_tokens = 0;  // of sequences that missed more than one token
    Duration time{};
  };
  void Observe(const Step& step);

  /// For the next step: from min_chunk_tokens to max_step_tokens; 0 when a step without chunks is
  /// to be timed again.
  [[nodiscard]] int64_t max_chunk_tokens() const;

  /// Moving mean over steps; zero before the first.
  [[nodiscard]] Duration time_per_token() const;

 private:
  const Limits limits_;
  int64_t max_chunk_tokens_;
  double seconds_per_token_ = 0;
  double seconds_without_chunks_ = 0;  // of a step
  int64_t num_steps_with_chunks_ = 0;  // since one without
};

}  // namespace hadal
