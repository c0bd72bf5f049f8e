#include "server/cli/model/engine.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "engine/model/kv_cache.h"
#include "kernels/kernel_registry.h"
#include "server/cli/model/draft_tokens.h"
#include "server/cli/model/engine_memory.h"

namespace hadal {
namespace {

WeightPacking WeightsOf(const ServerConfig& config) {
  for (const WeightPacking packing : kWeightPackings) {
    if (config.model.weights == NameOf(packing)) {
      return packing;
    }
  }
  CHECK(false);  // the configuration is valid
}

ModelOptions ModelOptionsOf(const ServerConfig& config) {
  return {.model = config.model.path,
          .threads = config.model.threads,
          .kernels = config.model.kernels,
          .weights = WeightsOf(config),
          .log_level = config.operations.log_level};
}

absl::StatusOr<DType> CacheDTypeOf(const ServerConfig& config, const ModelConfig& model) {
  if (config.model.cache_dtype == "auto") {
    return DefaultCacheDType(model);
  }
  if (config.model.cache_dtype == "int8") {
    return DType::kI8;
  }
  if (config.model.cache_dtype == "fp8") {
    return DType::kFp8E4m3;
  }
  return config.model.cache_dtype == "f32" ? DType::kF32 : DType::kBf16;
}

absl::StatusOr<std::optional<CacheMemory>> CacheMemoryOf(const ServerConfig& config) {
  if (config.model.cache_memory == "auto") {
    return std::nullopt;
  }
  return ParseCacheMemory(config.model.cache_memory);
}

// What a sequence may hold: the model's context or less, as far as the whole cache can hold it.
int64_t ContextOf(const ServerConfig& config, const ModelConfig& model) {
  const int64_t wanted = config.model.max_context_tokens;
  return wanted > 0 ? std::min(wanted, model.max_position_embeddings)
                    : model.max_position_embeddings;
}

}  // namespace

absl::StatusOr<Engine> LoadEngine(const ServerConfig& config,
                                  Checkpoint checkpoint,
                                  LoadedModel::Progress progress) {
  ASSIGN_OR_RETURN(const KernelTable kernels, BuildKernelTable(config.model.kernels));
  const Device& device = *kernels.device;
  const ModelConfig model = checkpoint.config();
  const int64_t context = ContextOf(config, model);

  // 1. What it will take, before any of it is taken.
  Engine engine;
  Limits& limits = engine.limits;
  limits.vocab_size = model.vocab_size;
  limits.max_sequence_tokens = context;
  limits.max_running_sequences = config.scheduling.max_running_sequences;
  limits.max_step_tokens = config.scheduling.max_step_tokens;
  RETURN_IF_ERROR(SetDraftTokens(config.scheduling.draft_tokens, model, limits));
  ASSIGN_OR_RETURN(engine.cache_dtype, CacheDTypeOf(config, model));
  ASSIGN_OR_RETURN(const std::optional<CacheMemory> cache_memory, CacheMemoryOf(config));
  ASSIGN_OR_RETURN(
      const EngineMemory memory,
      PlanEngineMemory({.config = model,
                        .device = device,
                        .weight_bytes = PlannedWeightBytes(checkpoint, WeightsOf(config), device),
                        .num_threads = config.model.threads,
                        .cache_dtype = engine.cache_dtype,
                        .cache_memory = cache_memory,
                        .limits = limits}));
  Log(LogLevel::kInfo, "memory plan: " + Describe(memory.plan));

  // 2. All of it.
  ASSIGN_OR_RETURN(
      engine.model,
      LoadedModel::Load(ModelOptionsOf(config), std::move(checkpoint), kernels, progress));
  const MtpCache mtp = MtpCacheFor(limits);
  limits.num_blocks = memory.plan.num_blocks;
  ASSIGN_OR_RETURN(KvCache cache,
                   KvCache::Create({.config = engine.model->config(),
                                    .mtp = mtp,
                                    .dtype = engine.cache_dtype,
                                    .num_blocks = limits.num_blocks,
                                    .device = device}));
  ASSIGN_OR_RETURN(engine.executor,
                   LocalExecutor::Create({.model = engine.model->model(),
                                          .cache = std::move(cache),
                                          .pool = engine.model->pool(),
                                          .device = HostOf(device),
                                          .max_step_tokens = limits.max_step_tokens,
                                          .max_samples = MaxSamples(limits),
                                          .scratch_bytes = memory.steps.scratch_bytes,
                                          .can_draft = mtp == MtpCache::kIncluded}));
  limits.max_sequence_tokens = std::min(context, limits.num_blocks * kBlockSize);
  if (limits.max_sequence_tokens < context) {
    Log(LogLevel::kWarning,
        absl::StrFormat("the cache holds %d tokens: the context is cut from %d to that",
                        limits.max_sequence_tokens,
                        context));
  }
  return engine;
}

}  // namespace hadal
