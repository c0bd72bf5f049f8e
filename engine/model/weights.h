#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <absl/functional/function_ref.h>

#include "base/status.h"
#include "base/thread_pool.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/packing/packed_weights.h"
#include "engine/packing/weight_packing.h"
#include "kernels/device.h"
#include "kernels/mla_attention.h"
#include "kernels/mla_project.h"
#include "kernels/mlp.h"
#include "kernels/weight_matrix.h"

namespace hadal {

/// A mixture-of-experts network; words as in the checkpoint, `mlp.*`.
struct MoeWeights {
  WeightMatrix gate;                                   // [n_routed_experts, hidden_size]
  TensorView<const float, 1> e_score_correction_bias;  // [n_routed_experts], empty without noaux_tc
  std::vector<MlpWeights> experts;                     // [n_routed_experts]
  std::optional<MlpWeights> shared_experts;            // one network of their summed width
};

/// One decoder layer.
struct LayerWeights {
  TensorView<const float, 1> input_layernorm;  // [hidden_size]
  MlaProjectWeights mla_project;
  KvUpWeights kv_b_proj;
  WeightMatrix o_proj;                                  // [hidden_size, num_heads * v_head_dim]
  TensorView<const float, 1> post_attention_layernorm;  // [hidden_size]
  std::variant<MlpWeights, MoeWeights> mlp;
};

/// The multi-token prediction module (DeepSeek-V3 README_WEIGHTS.md).
struct MtpWeights {
  TensorView<const float, 1> enorm;  // [hidden_size]
  TensorView<const float, 1> hnorm;  // [hidden_size]
  WeightMatrix eh_proj;              // [hidden_size, 2 * hidden_size], the embedding's half first
  LayerWeights layer;
  TensorView<const float, 1> shared_head_norm;  // [hidden_size]
};

/// All weights of a model, as views. Matrices point into the checkpoint's mapped files, or are
/// packed; vectors, and matrices that lie unaligned in their file, are owned. On a device other
/// than the host all are owned copies. Const after Load; any thread may read.
class Weights {
 public:
  /// Whether Load reads all that the model uses, so that the first request finds it in memory, or
  /// leaves that to whoever touches a page first: right for weights larger than memory.
  enum class ReadAhead : int8_t { kAll, kNone };

  /// Told how many of all bytes were read ahead, packed or copied to a device, in rising order,
  /// last with both equal.
  using Progress = absl::FunctionRef<void(int64_t done_bytes, int64_t total_bytes)>;

  struct LoadArgs {
    const Checkpoint& checkpoint;  // outlives the result
    WeightPacking packing;
    std::string packed_folder;  // where packed weights are kept; empty: nowhere
    ReadAhead read_ahead;
    ThreadPool& pool;
    Progress progress;
    const Device& device = CpuDevice();  // whose memory ops read
  };

  /// ResourceExhausted when owned copies find no room; the errors of PackedWeights::Load.
  static absl::StatusOr<Weights> Load(const LoadArgs& args);

  /// The same weights in the memory of `device`, all of them owned. ResourceExhausted when they
  /// find no room there.
  [[nodiscard]] absl::StatusOr<Weights> CopyTo(const Device& device, Progress progress) const;

  /// Bytes of all that a model uses of `checkpoint`, packed like that.
  static int64_t SizeBytes(const Checkpoint& checkpoint, WeightPacking packing);

  /// The same on a device other than the host, at most: vectors are widened there, and all tensors
  /// are aligned.
  static int64_t DeviceBytes(const Checkpoint& checkpoint, WeightPacking packing);

  /// Where packed weights came from; nothing with kNative.
  [[nodiscard]] std::optional<PackedWeights::Origin> packed_origin() const {
    return packed_origin_;
  }

  WeightMatrix embed_tokens;         // [vocab_size, hidden_size]
  std::vector<LayerWeights> layers;  // [num_hidden_layers]
  TensorView<const float, 1> norm;   // [hidden_size]
  WeightMatrix lm_head;              // [vocab_size, hidden_size]
  std::vector<MtpWeights> mtp;       // [num_nextn_predict_layers]

 private:
  friend class WeightLoader;
  std::vector<DeviceBuffer> owned_;
  std::optional<PackedWeights> packed_;
  std::optional<PackedWeights::Origin> packed_origin_;
};

}  // namespace hadal
