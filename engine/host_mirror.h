#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/device.h"
#include "kernels/kernel_table.h"

namespace hadal {

/// Copies in the host's memory of what a call of an op is given on another device, so that the
/// host can look at it, and run the op's reference on it. Slow: each tensor is a copy of its own.
/// Where the device is the host, each function gives back what it is given and copies nothing.
class HostMirror {
 public:
  explicit HostMirror(const Device& device) : device_(device) {}

  /// The call with its activations, indices and outputs in the host's memory, rows of the cache
  /// that it writes included (it names them by other slots); weights, and a cache that it reads,
  /// stay where they are.
  EmbeddingArgs MirrorActivations(EmbeddingArgs args);
  RmsNormArgs MirrorActivations(RmsNormArgs args);
  LinearArgs MirrorActivations(LinearArgs args);
  MlpArgs MirrorActivations(MlpArgs args);
  MlaProjectArgs MirrorActivations(MlaProjectArgs args);
  MlaAttentionArgs MirrorActivations(MlaAttentionArgs args);
  MoeRouteArgs MirrorActivations(MoeRouteArgs args);
  MoeExpertsArgs MirrorActivations(MoeExpertsArgs args);
  GatherRowsArgs MirrorActivations(GatherRowsArgs args);
  CheckFiniteArgs MirrorActivations(CheckFiniteArgs args);
  SampleArgs MirrorActivations(SampleArgs args);

  /// The rest too: weights (of experts, those that are chosen), and the blocks of the cache that
  /// its sequences have (it names them by other ids). REQUIRES: what MirrorActivations gave, or
  /// some rows of it (OneRow). What an earlier call of MirrorOperands gave is gone.
  EmbeddingArgs MirrorOperands(EmbeddingArgs args);
  RmsNormArgs MirrorOperands(RmsNormArgs args);
  LinearArgs MirrorOperands(LinearArgs args);
  MlpArgs MirrorOperands(MlpArgs args);
  MlaProjectArgs MirrorOperands(MlaProjectArgs args);
  MlaAttentionArgs MirrorOperands(MlaAttentionArgs args);
  MoeRouteArgs MirrorOperands(MoeRouteArgs args);
  MoeExpertsArgs MirrorOperands(MoeExpertsArgs args);
  static GatherRowsArgs MirrorOperands(GatherRowsArgs args) { return args; }
  static CheckFiniteArgs MirrorOperands(CheckFiniteArgs args) { return args; }
  static SampleArgs MirrorOperands(SampleArgs args) { return args; }

  /// Copies the outputs from the device, after the op has run there.
  void FetchOutputs();

  /// Copies the outputs to the device.
  void StoreOutputs();

 private:
  struct Piece {
    void* there;
    void* here;
    size_t size_bytes;
    bool is_output;
  };

  // Two pieces at one place, such as an op's input and output, stay one.
  void* Mirror(const void* there, size_t size_bytes, bool is_output);
  template <typename T, size_t Rank>
  void Mirror(TensorView<T, Rank>& view);
  void Mirror(WeightMatrix& weight);
  void Mirror(MlpWeights& weights);

  const Device& device_;
  std::vector<Piece> pieces_;
  std::vector<DeviceBuffer> buffers_;  // of the host
  std::vector<int64_t> slots_;         // of MlaProjectArgs
  std::vector<std::byte> rows_;        // likewise: the rows of those slots

  // Of the last MirrorOperands of attention or experts.
  std::vector<std::byte> blocks_;
  std::vector<int32_t> block_ids_;
  std::vector<MlpWeights> experts_;
};

}  // namespace hadal
