#include "server/cli/model/engine.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "engine/model/cache_budget.h"
#include "engine/model/kv_cache.h"
#include "kernels/kernel_registry.h"
#include "server/cli/model/draft_tokens.h"

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

absl::StatusOr<int64_t> ChooseNumBlocks(const ServerConfig& config,
                                        const LoadedModel& loaded,
                                        DType cache_dtype,
                                        MtpCache mtp,
                                        int64_t max_sequence_tokens) {
  std::optional<CacheMemory> memory;
  if (config.model.cache_memory != "auto") {
    ASSIGN_OR_RETURN(memory, ParseCacheMemory(config.model.cache_memory));
  }
  ASSIGN_OR_RETURN(const int64_t available_bytes, AvailableBytes(loaded.device()));
  return NumCacheBlocks({.config = loaded.config(),
                         .mtp = mtp,
                         .dtype = cache_dtype,
                         .memory = memory,
                         .available_bytes = available_bytes,
                         .weight_bytes = loaded.weights().mapped_bytes(),
                         .max_running_sequences = config.scheduling.max_running_sequences,
                         .max_sequence_tokens = max_sequence_tokens});
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
  Engine engine;
  ASSIGN_OR_RETURN(
      engine.model,
      LoadedModel::Load(ModelOptionsOf(config), std::move(checkpoint), kernels, progress));
  const ModelConfig& model = engine.model->config();
  const int64_t context = ContextOf(config, model);
  ASSIGN_OR_RETURN(engine.cache_dtype, CacheDTypeOf(config, model));
  RETURN_IF_ERROR(SetDraftTokens(config.scheduling.draft_tokens, model, engine.limits));
  const MtpCache mtp = MtpCacheFor(engine.limits);
  ASSIGN_OR_RETURN(const int64_t num_blocks,
                   ChooseNumBlocks(config, *engine.model, engine.cache_dtype, mtp, context));
  ASSIGN_OR_RETURN(KvCache cache,
                   KvCache::Create({.config = model,
                                    .mtp = mtp,
                                    .dtype = engine.cache_dtype,
                                    .num_blocks = num_blocks,
                                    .device = engine.model->device()}));
  Log(LogLevel::kInfo,
      absl::StrFormat("cache: %d blocks, %d bytes on device %s",
                      num_blocks,
                      cache.size_bytes(),
                      engine.model->device().name));
  ASSIGN_OR_RETURN(engine.executor,
                   LocalExecutor::Create({.model = engine.model->model(),
                                          .cache = std::move(cache),
                                          .pool = engine.model->pool(),
                                          .device = HostOf(engine.model->device()),
                                          .max_step_tokens = config.scheduling.max_step_tokens,
                                          .max_samples = config.scheduling.max_running_sequences *
                                                         (1 + engine.limits.max_draft_tokens),
                                          .can_draft = mtp == MtpCache::kIncluded}));
  engine.limits.vocab_size = model.vocab_size;
  engine.limits.max_sequence_tokens = std::min(context, num_blocks * kBlockSize);
  engine.limits.num_blocks = num_blocks;
  if (engine.limits.max_sequence_tokens < context) {
    Log(LogLevel::kWarning,
        absl::StrFormat("the cache holds %d tokens: the context is cut from %d to that",
                        engine.limits.max_sequence_tokens,
                        context));
  }
  return engine;
}

}  // namespace hadal
