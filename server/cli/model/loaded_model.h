#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/functional/function_ref.h>

#include "base/status.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/model/model.h"
#include "engine/model/step_recordings.h"
#include "engine/model/weights.h"
#include "engine/sequence_runner.h"
#include "server/cli/options.h"

namespace hadal {

/// A checkpoint with all that runs it: threads, kernels, weights, model.
class LoadedModel {
 public:
  /// Opens and reads the checkpoint, with a progress bar when stderr is a terminal. The errors of
  /// Checkpoint::Open and Weights::Load, as CheckpointFaults.
  static absl::StatusOr<std::unique_ptr<LoadedModel>> Load(const ModelOptions& options,
                                                           const KernelTable& kernels);

  /// The same with a checkpoint that is open: that of the folder in `options`.
  static absl::StatusOr<std::unique_ptr<LoadedModel>> Load(const ModelOptions& options,
                                                           Checkpoint checkpoint,
                                                           const KernelTable& kernels);

  /// The same, without a progress bar: `progress` is told how many bytes of how many were read.
  using Progress = absl::FunctionRef<void(int64_t done_bytes, int64_t total_bytes)>;
  static absl::StatusOr<std::unique_ptr<LoadedModel>> Load(const ModelOptions& options,
                                                           Checkpoint checkpoint,
                                                           const KernelTable& kernels,
                                                           Progress progress);

  LoadedModel(const LoadedModel&) = delete;
  LoadedModel& operator=(const LoadedModel&) = delete;

  [[nodiscard]] const ModelConfig& config() const { return checkpoint_.config(); }
  [[nodiscard]] const Checkpoint& checkpoint() const { return checkpoint_; }
  [[nodiscard]] const Weights& weights() const { return *weights_; }
  [[nodiscard]] const Model& model() const { return *model_; }
  /// Where the weights lie, and the cache must.
  [[nodiscard]] const Device& device() const { return *kernels_.device; }
  [[nodiscard]] ExecutionContext& context() { return context_; }
  [[nodiscard]] ThreadPool& pool() { return pool_; }

  /// An empty sequence with room for `max_tokens`. ResourceExhausted when the cache does not fit.
  absl::StatusOr<SequenceRunner> NewSequenceRunner(int64_t max_tokens);

 private:
  LoadedModel(const ModelOptions& options, Checkpoint checkpoint, const KernelTable& kernels);

  ThreadPool pool_;  // first: it begins at a cache line
  Checkpoint checkpoint_;
  DType cache_dtype_;
  KernelTable kernels_;
  ScratchArena scratch_;
  ScratchArena host_scratch_;  // of kernels that take another device's memory
  StepRecordings recordings_;
  ExecutionContext context_;
  std::optional<Weights> weights_;
  std::optional<Model> model_;
};

/// InvalidArgument unless there is at least one id, all are in the vocabulary, and they fit the
/// model's context.
absl::Status CheckPrompt(const ModelConfig& config, std::span<const TokenId> ids);

}  // namespace hadal
