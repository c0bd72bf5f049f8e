#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/checkpoint/checkpoint.h"
#include "engine/model/model.h"
#include "kernels/kernel_registry.h"

namespace hadal {

/// A case of tests/golden: a small checkpoint and what the transformers package computed from it
/// (tests/golden/README.md). A file that cannot be read ends the test program.
class Golden {
 public:
  static Golden Load(const std::string& name);

  /// The same with its weights packed, in memory alone.
  static Golden LoadPacked(const std::string& name, WeightPacking packing);

  /// The demo model (models/demo), of which there are no outputs.
  static Golden Demo();

  /// Names of all cases.
  static std::vector<std::string> Names();

  [[nodiscard]] const ModelConfig& config() const { return checkpoint_->config(); }
  [[nodiscard]] const Weights& weights() const { return *weights_; }

  /// From now on the last element of this token's row of the embedding, or of the head, is NaN,
  /// whatever the kernels.
  void PoisonEmbedding(TokenId token) { Poison(weights_->embed_tokens, token); }
  void PoisonHead(TokenId token) { Poison(weights_->lm_head, token); }

  /// Tensors of golden.safetensors. REQUIRES: the tensor is there with this type.
  [[nodiscard]] std::vector<TokenId> Ids(const std::string& tensor) const;
  [[nodiscard]] std::vector<float> Floats(const std::string& tensor) const;
  [[nodiscard]] bool Has(const std::string& tensor) const;

 private:
  static Golden Open(const std::string& dir, WeightPacking packing);
  [[nodiscard]] const TensorInfo& Find(const std::string& tensor) const;
  void Poison(WeightMatrix& table, TokenId token);

  std::unique_ptr<Checkpoint> checkpoint_;
  std::unique_ptr<Weights> weights_;
  std::unique_ptr<SafetensorsFile> outputs_;
  std::vector<std::byte> poisoned_table_;  // of one of them
};

/// The golden's weights in the memory of `device`; nothing when that is the host, where they are.
std::optional<Weights> WeightsOn(const Device& device, const Golden& golden);

/// Rows of floats on a device, such as hidden states.
class DeviceRows {
 public:
  /// Zeroed.
  DeviceRows(const Device& device, int64_t num_rows, int64_t width);
  /// Copies of `values`, as many rows as they are.
  DeviceRows(const Device& device, std::span<const float> values, int64_t width);

  [[nodiscard]] const TensorView<float, 2>& view() const { return view_; }

 private:
  DeviceBuffer buffer_;
  TensorView<float, 2> view_;
};

/// The rows, which lie on `device`, in the host's memory.
std::vector<float> Fetch(const Device& device, const TensorView<const float, 2>& rows);

/// A thread pool, an arena and a model over one kernel table.
class ModelRunner {
 public:
  /// With three threads.
  ModelRunner(const Golden& golden, const std::string& kernels, MlaForm form);

  struct Args {
    const Golden& golden;
    const KernelTable& kernels;
    MlaForm form;
    int32_t num_threads;
  };
  explicit ModelRunner(const Args& args);

  [[nodiscard]] const Model& model() const { return model_; }
  [[nodiscard]] ExecutionContext& context() { return context_; }

  /// Logits at all positions of `tokens`, run in steps of `chunk_tokens`: [tokens.size() *
  /// vocab_size].
  std::vector<float> Logits(const std::vector<TokenId>& tokens,
                            int64_t chunk_tokens,
                            DType cache_dtype);

  /// The greedy continuation of `prompt`.
  std::vector<TokenId> Greedy(const std::vector<TokenId>& prompt,
                              int64_t num_tokens,
                              DType cache_dtype);

 private:
  ThreadPool pool_;
  KernelTable kernels_;
  std::optional<Weights> device_weights_;
  ScratchArena scratch_{*kernels_.device};
  ScratchArena host_scratch_{HostOf(*kernels_.device)};
  ExecutionContext context_{pool_, scratch_, kernels_.device->is_host ? nullptr : &host_scratch_};
  Model model_;
};

/// sqrt(mean((a - b)^2)).
double RmsDifference(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace hadal
