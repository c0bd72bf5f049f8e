#include "server/cli/model/loaded_model.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "engine/checkpoint/model_summary.h"
#include "kernels/kernel_registry.h"
#include "server/cli/exit_code.h"
#include "server/cli/model/progress_bar.h"

namespace hadal {
namespace {

constexpr int64_t kChunkTokens = 512;

// Weights that do not fit in memory would push each other out while being read ahead.
Weights::ReadAhead ChooseReadAhead(int64_t weight_bytes) {
  const absl::StatusOr<int64_t> available_bytes = ReadAvailableMemory("/proc/meminfo");
  if (!available_bytes.ok() || weight_bytes <= *available_bytes) {
    return Weights::ReadAhead::kAll;
  }
  Log(LogLevel::kWarning,
      absl::StrFormat(
          "the weights' %d bytes exceed the %d bytes of memory that are available: they "
          "will be read from disk again and again",
          weight_bytes,
          *available_bytes));
  return Weights::ReadAhead::kNone;
}

// Packed weights are kept beside the checkpoint.
std::string PackedFolder(const Checkpoint& checkpoint, WeightPacking packing) {
  if (!checkpoint.dir().starts_with(kBuiltinPrefix)) {
    return checkpoint.dir();
  }
  if (packing != WeightPacking::kNative) {
    Log(LogLevel::kWarning,
        checkpoint.dir() + " is built in: its packed weights are made again at each start");
  }
  return "";
}

}  // namespace

LoadedModel::LoadedModel(const ModelOptions& options,
                         Checkpoint checkpoint,
                         const KernelTable& kernels)
    : pool_(ThreadPool::OfThisMachine(options.threads)),
      checkpoint_(std::move(checkpoint)),
      cache_dtype_(options.cache_dtype),
      kernels_(kernels),
      scratch_(*kernels.device),
      host_scratch_(HostOf(*kernels.device)),
      context_{.pool = pool_,
               .scratch = scratch_,
               .host_scratch = kernels.device->is_host ? nullptr : &host_scratch_,
               .recordings = &recordings_} {}

absl::StatusOr<std::unique_ptr<LoadedModel>> LoadedModel::Load(const ModelOptions& options,
                                                               const KernelTable& kernels) {
  ASSIGN_OR_RETURN(Checkpoint checkpoint, CheckpointFault(Checkpoint::Open(options.model)));
  return Load(options, std::move(checkpoint), kernels);
}

absl::StatusOr<std::unique_ptr<LoadedModel>> LoadedModel::Load(const ModelOptions& options,
                                                               Checkpoint checkpoint,
                                                               const KernelTable& kernels) {
  if (options.model == kDemoModel) {
    std::fprintf(stderr, "using the demo model that is built in; --model names another\n");
  }
  ProgressBar bar("loading");
  return Load(options, std::move(checkpoint), kernels, [&bar](int64_t done, int64_t total) {
    bar.Show(done, total);
  });
}

absl::StatusOr<std::unique_ptr<LoadedModel>> LoadedModel::Load(const ModelOptions& options,
                                                               Checkpoint checkpoint,
                                                               const KernelTable& kernels,
                                                               Progress progress) {
  SetLogLevel(options.log_level);
  const SteadyClock clock;
  const TimePoint start = clock.Now();
  std::unique_ptr<LoadedModel> loaded(new LoadedModel(options, std::move(checkpoint), kernels));
  const int64_t weight_bytes = Weights::SizeBytes(loaded->checkpoint_, options.weights);
  ASSIGN_OR_RETURN(loaded->weights_,
                   CheckpointFault(Weights::Load(
                       {.checkpoint = loaded->checkpoint_,
                        .packing = options.weights,
                        .packed_folder = PackedFolder(loaded->checkpoint_, options.weights),
                        .read_ahead = ChooseReadAhead(weight_bytes),
                        .pool = loaded->pool_,
                        .progress = progress,
                        .device = loaded->device()})));
  loaded->model_.emplace(Model::Args{.config = loaded->config(),
                                     .weights = *loaded->weights_,
                                     .kernels = loaded->kernels_,
                                     .mla_form = MlaForm::kAbsorbed});
  const std::chrono::duration<double> seconds = clock.Now() - start;
  Log(LogLevel::kInfo,
      absl::StrFormat("loaded %s: %d bytes, weights %s, on device %s, in %.2f s, %d threads",
                      loaded->checkpoint_.dir(),
                      weight_bytes,
                      NameOf(options.weights),
                      loaded->device().name,
                      seconds.count(),
                      loaded->pool_.num_threads()));
  Log(LogLevel::kInfo, "kernels: " + Describe(kernels));
  return loaded;
}

absl::StatusOr<SequenceRunner> LoadedModel::NewSequenceRunner(int64_t max_tokens) {
  return SequenceRunner::Create({.model = *model_,
                                 .context = context_,
                                 .cache_dtype = cache_dtype_,
                                 .max_tokens = max_tokens,
                                 .chunk_tokens = std::min(kChunkTokens, max_tokens)});
}

absl::Status CheckPrompt(const ModelConfig& config, std::span<const TokenId> ids) {
  if (ids.empty()) {
    return InvalidArgument("the prompt is empty");
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= config.vocab_size) {
      return InvalidArgument(
          "token %d at place %d is not in the vocabulary of %d", ids[i], i, config.vocab_size);
    }
  }
  if (std::ssize(ids) > config.max_position_embeddings) {
    return InvalidArgument("the prompt has %d tokens, the model's context holds %d",
                           ids.size(),
                           config.max_position_embeddings);
  }
  return absl::OkStatus();
}

}  // namespace hadal
