#include "server/cli/model/engine_memory.h"

#include <utility>

#include "base/cpu/allotment.h"
#include "engine/model/weights.h"
#include "server/cli/model/draft_tokens.h"

namespace hadal {

int64_t PlannedWeightBytes(const Checkpoint& checkpoint,
                           WeightPacking packing,
                           const Device& device) {
  return device.is_host ? Weights::SizeBytes(checkpoint, packing)
                        : Weights::DeviceBytes(checkpoint, packing);
}

int64_t MaxSamples(const Limits& limits) {
  return limits.max_running_sequences * (1 + limits.max_draft_tokens);
}

StepMemory StepMemoryOf(const ModelConfig& config,
                        const Device& device,
                        int32_t num_threads,
                        const Limits& limits) {
  return MemoryOfSteps(
      {.config = config,
       .device = device,
       .num_threads = num_threads > 0 ? num_threads : DefaultNumThreads(ReadCpuAllotment()),
       .max_step_tokens = limits.max_step_tokens,
       .max_sequences = limits.max_running_sequences,
       .max_sequence_tokens = limits.max_sequence_tokens,
       .max_samples = MaxSamples(limits),
       .can_draft = limits.max_draft_tokens > 0});
}

absl::StatusOr<EngineMemory> PlanEngineMemory(const EngineMemoryArgs& args) {
  const StepMemory steps = StepMemoryOf(args.config, args.device, args.num_threads, args.limits);
  ASSIGN_OR_RETURN(const int64_t available_bytes, AvailableBytes(args.device));
  ASSIGN_OR_RETURN(MemoryPlan plan,
                   PlanMemory({.config = args.config,
                               .mtp = MtpCacheFor(args.limits),
                               .cache_dtype = args.cache_dtype,
                               .memory = args.cache_memory,
                               .device = args.device,
                               .available_bytes = available_bytes,
                               .weight_bytes = args.weight_bytes,
                               .step_bytes = steps.total_bytes(),
                               .max_running_sequences = args.limits.max_running_sequences,
                               .max_sequence_tokens = args.limits.max_sequence_tokens}));
  return EngineMemory{.plan = std::move(plan), .steps = steps};
}

}  // namespace hadal
