#pragma once

#include <cstdint>

#include "engine/checkpoint/model_config.h"
#include "kernels/device.h"

namespace hadal {

/// What decides how much memory steps need.
struct StepMemoryArgs {
  const ModelConfig& config;
  const Device& device;  // of the kernels
  int32_t num_threads;   // of the host
  int64_t max_step_tokens;
  int64_t max_sequences;        // of one step
  int64_t max_sequence_tokens;  // of one sequence
  int64_t max_samples;          // of one step
  bool can_draft;
};

/// Bytes of `args.device` that a LocalExecutor needs for the largest step, beside weights and
/// cache.
struct StepMemory {
  int64_t buffer_bytes = 0;   // hidden states and logits, kept
  int64_t scratch_bytes = 0;  // at most, of the arena that ops take temporaries from

  [[nodiscard]] int64_t total_bytes() const { return buffer_bytes + scratch_bytes; }
};

/// Sums from shapes alone, before anything is allocated (docs/adr/0029). Scratch is an upper bound,
/// whatever the format of the weights and whichever way ops take; a step that a KernelGuard runs
/// again may take more.
StepMemory MemoryOfSteps(const StepMemoryArgs& args);

}  // namespace hadal
