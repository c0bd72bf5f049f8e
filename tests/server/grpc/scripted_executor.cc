#include "tests/server/grpc/scripted_executor.h"

#include <algorithm>

namespace hadal {

void ScriptedExecutor::AllowSteps(int64_t num_steps) {
  const absl::MutexLock lock(&mutex_);
  num_allowed_ = num_steps_ + num_steps;
}

void ScriptedExecutor::AllowAllSteps() {
  const absl::MutexLock lock(&mutex_);
  num_allowed_ = INT64_MAX;
}

void ScriptedExecutor::AwaitHeldStep() {
  const absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(&is_held_));
}

int64_t ScriptedExecutor::num_steps() const {
  const absl::MutexLock lock(&mutex_);
  return num_steps_;
}

void ScriptedExecutor::Submit(const StepInput& input) {
  input_ = &input;
  executor_.Submit(input);
}

absl::Status ScriptedExecutor::Wait(StepOutput& output) {
  {
    const absl::MutexLock lock(&mutex_);
    is_held_ = !MayEnd();
    mutex_.Await(absl::Condition(this, &ScriptedExecutor::MayEnd));
    is_held_ = false;
    ++num_steps_;
  }
  absl::Status status = executor_.Wait(output);
  for (size_t i = 0; !script_.empty() && i < output.samples.size(); ++i) {
    const SampleRow& row = input_->samples[i];
    const auto place = static_cast<size_t>(std::ssize(row.tokens) - row.num_prompt_tokens);
    output.samples[i].token = script_[std::min(place, script_.size() - 1)];
  }
  return status;
}

}  // namespace hadal
