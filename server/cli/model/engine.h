#pragma once

#include <memory>

#include "base/dtype.h"
#include "base/status.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/local_executor.h"
#include "scheduler/limits.h"
#include "server/cli/model/loaded_model.h"
#include "server/config/server_config.h"

namespace hadal {

/// The engine of a server: a model, its cache and what runs steps.
struct Engine {
  std::unique_ptr<LoadedModel> model;
  std::unique_ptr<LocalExecutor> executor;
  DType cache_dtype = DType::kBf16;
  Limits limits;  // those of steps, and those that depend on the model: vocab_size,
                  // max_sequence_tokens, num_blocks, and how many tokens are drafted
};

/// Plans memory, loads the weights of `checkpoint` and makes all that the configuration asks for.
/// The errors of PlanEngineMemory, LoadedModel::Load, KvCache::Create and LocalExecutor::Create.
absl::StatusOr<Engine> LoadEngine(const ServerConfig& config,
                                  Checkpoint checkpoint,
                                  LoadedModel::Progress progress);

}  // namespace hadal
