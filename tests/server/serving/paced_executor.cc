#include "tests/server/serving/paced_executor.h"

#include <thread>

namespace hadal {

PacedExecutor::PacedExecutor(const Args& args)
    : executor_({.clock = virtual_clock_,
                 .num_blocks = args.num_blocks,
                 .vocab_size = args.vocab_size,
                 .cost = args.cost,
                 .faults = args.faults}),
      hanging_step_(args.hanging_step),
      hang_duration_(args.hang_duration) {}

void PacedExecutor::Submit(const StepInput& input) {
  begin_ = SteadyClock().Now();
  virtual_begin_ = virtual_clock_.Now();
  executor_.Submit(input);
}

absl::Status PacedExecutor::Wait(StepOutput& output) {
  absl::Status status = executor_.Wait(output);
  TimePoint end = begin_ + (virtual_clock_.Now() - virtual_begin_);
  if (num_steps_++ == hanging_step_) {
    end += hang_duration_;
  }
  std::this_thread::sleep_until(end);
  return status;
}

}  // namespace hadal
