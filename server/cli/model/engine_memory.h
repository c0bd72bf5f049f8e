#pragma once

#include <cstdint>
#include <optional>

#include "engine/checkpoint/checkpoint.h"
#include "engine/model/memory_plan.h"
#include "engine/packing/weight_packing.h"
#include "engine/step_memory.h"
#include "scheduler/limits.h"

namespace hadal {

/// An engine, as far as its memory depends on it.
struct EngineMemoryArgs {
  const ModelConfig& config;
  const Device& device;  // of the kernels
  int64_t weight_bytes;  // there: see PlannedWeightBytes
  int32_t num_threads;   // 0: one for each usable core
  DType cache_dtype;
  std::optional<CacheMemory> cache_memory;
  const Limits& limits;  // of steps, sequences and drafts
};

/// The plan, and of its step_bytes those that the executor keeps as scratch.
struct EngineMemory {
  MemoryPlan plan;
  StepMemory steps;
};

/// Plans before anything is loaded. The errors of AvailableBytes and PlanMemory.
absl::StatusOr<EngineMemory> PlanEngineMemory(const EngineMemoryArgs& args);

/// What steps within `limits` need. `num_threads` as in EngineMemoryArgs.
StepMemory StepMemoryOf(const ModelConfig& config,
                        const Device& device,
                        int32_t num_threads,
                        const Limits& limits);

/// Bytes that the weights of `checkpoint` take of `device`.
int64_t PlannedWeightBytes(const Checkpoint& checkpoint,
                           WeightPacking packing,
                           const Device& device);

/// Samples of one step at most: LocalExecutor::Args.
int64_t MaxSamples(const Limits& limits);

}  // namespace hadal
