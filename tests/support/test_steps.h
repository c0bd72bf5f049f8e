#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/local_executor.h"
#include "tests/support/golden.h"

namespace hadal {

/// A sequence as a scheduler keeps one.
struct TestSequence {
  std::vector<TokenId> tokens;
  int64_t num_prompt_tokens = 0;
  std::vector<int32_t> blocks;  // equally many in all sequences of a step
  SamplingParams params = {};
  int64_t num_computed = 0;
};

/// A step with the next num_tokens[i] tokens of sequence i, at most as many as it has left, and a
/// sample after the last of each. Borrows the sequences and counts those tokens as computed.
StepInput MakeStep(std::vector<TestSequence>& sequences, const std::vector<int64_t>& num_tokens);

/// An executor over a golden's model, with all that it borrows.
class ExecutorFixture {
 public:
  struct Args {
    const Golden& golden;
    const KernelTable& kernels;
    int32_t num_threads;
    DType cache_dtype;
    int64_t num_blocks;
    const Device& device;
    int64_t max_step_tokens;
    int64_t max_samples;
    bool can_draft = false;
    int64_t scratch_bytes = 0;  // 0: what MemoryOfSteps says
  };
  explicit ExecutorFixture(const Args& args);

  [[nodiscard]] LocalExecutor& executor() { return *executor_; }

  /// Submits and waits. The step must end well.
  void Run(const StepInput& input, StepOutput& output);

 private:
  ThreadPool pool_;
  KernelTable kernels_;
  std::optional<Weights> device_weights_;
  Model model_;
  std::unique_ptr<LocalExecutor> executor_;
};

/// The back end that "auto" takes.
KernelTable BestKernels();

}  // namespace hadal
