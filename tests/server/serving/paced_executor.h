#pragma once

#include <cstdint>

#include "base/clock.h"
#include "engine/api/executor.h"
#include "engine/simulated_executor.h"

namespace hadal {

/// A SimulatedExecutor whose steps take as long in real time as they cost in virtual time, so that
/// clients of a whole server see a model of that speed. One step may hang.
class PacedExecutor final : public Executor {
 public:
  struct Args {
    int64_t num_blocks;
    int32_t vocab_size;
    SimulatedExecutor::Cost cost;
    SimulatedExecutor::Faults faults;
    int64_t hanging_step;    // its number, from 0; -1: none
    Duration hang_duration;  // how much longer it takes
  };

  explicit PacedExecutor(const Args& args);

  void Submit(const StepInput& input) override;
  absl::Status Wait(StepOutput& output) override;

 private:
  VirtualClock virtual_clock_;
  SimulatedExecutor executor_;
  const int64_t hanging_step_;
  const Duration hang_duration_;
  int64_t num_steps_ = 0;
  TimePoint begin_{};  // of the step, in both times
  TimePoint virtual_begin_{};
};

}  // namespace hadal
