#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include "base/clock.h"
#include "base/token_id.h"
#include "engine/api/executor.h"
#include "engine/simulated_executor.h"

namespace hadal {

/// A SimulatedExecutor that can be held between steps, and told what to generate.
class ScriptedExecutor final : public Executor {
 public:
  ScriptedExecutor(VirtualClock& clock, int64_t num_blocks, int32_t vocab_size)
      : executor_({.clock = clock, .num_blocks = num_blocks, .vocab_size = vocab_size}) {}

  /// Every sequence goes on with these tokens, then with the last of them. REQUIRES: no step runs.
  void SetScript(std::vector<TokenId> script) { script_ = std::move(script); }

  /// The next step fails as a whole. REQUIRES: no step runs.
  void FailNextStep() { executor_.FailStep(executor_.num_steps()); }

  /// From now on steps wait; so many more may end. Any thread.
  void AllowSteps(int64_t num_steps);

  /// Steps wait no more. Any thread.
  void AllowAllSteps();

  /// Waits until a step is being held. Any thread.
  void AwaitHeldStep();

  /// That have ended. Any thread.
  [[nodiscard]] int64_t num_steps() const;

  void Submit(const StepInput& input) override;
  absl::Status Wait(StepOutput& output) override;

 private:
  [[nodiscard]] bool MayEnd() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return num_steps_ < num_allowed_;
  }

  SimulatedExecutor executor_;
  std::vector<TokenId> script_;
  const StepInput* input_ = nullptr;

  mutable absl::Mutex mutex_;
  int64_t num_steps_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t num_allowed_ ABSL_GUARDED_BY(mutex_) = INT64_MAX;
  bool is_held_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace hadal
