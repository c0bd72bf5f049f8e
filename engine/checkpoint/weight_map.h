#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "engine/checkpoint/model_config.h"

namespace hadal {

/// What a tensor is for, which says how it may be stored.
enum class TensorRole : int8_t {
  kMatrix,      // bf16, f16 or f32
  kFp8Matrix,   // the same, or fp8 e4m3 with a block scale
  kNorm,        // bf16, f16 or f32
  kGateBias,    // bf16, f16 or, as published, f32
  kBlockScale,  // f32; there when and only when its matrix is fp8
};

/// Where a tensor's parameters count.
enum class TensorGroup : int8_t { kEmbedding, kTrunk, kRoutedExperts, kHead };

/// Whether a checkpoint must hold a tensor.
enum class TensorPresence : int8_t {
  kRequired,
  kCopy,  // may be left out: it repeats the embedding or the head
};

/// A tensor that a checkpoint should hold. Shapes are [out, in], y = x · Wᵀ.
struct ExpectedTensor {
  std::string name;
  std::vector<int64_t> shape;
  TensorRole role = TensorRole::kMatrix;
  TensorGroup group = TensorGroup::kTrunk;
  TensorPresence presence = TensorPresence::kRequired;
  int64_t layer = kNoLayer;  // MTP layers have ids >= num_hidden_layers

  static constexpr int64_t kNoLayer = -1;

  [[nodiscard]] int64_t num_elements() const;
};

/// All tensors of a published checkpoint with this config (DeepSeek-V3 README_WEIGHTS), layer by
/// layer, MTP layers and the copies of the main tables among them. When the config is quantised,
/// all matrices but embedding, head, router and eh_proj are kFp8Matrix and have a kBlockScale;
/// otherwise there are none of either. Names are unique.
std::vector<ExpectedTensor> ListExpectedTensors(const ModelConfig& config);

/// True for tensors that some published checkpoints carry and no model reads: the rotary
/// embedding's `inv_freq` buffers.
bool IsIgnoredTensor(std::string_view name);

/// The name of a matrix's block scale, and the reverse. MatrixNameOfScale REQUIRES such a name and
/// borrows it.
std::string BlockScaleName(std::string_view matrix_name);
std::string_view MatrixNameOfScale(std::string_view scale_name);

/// Elements and bytes of the tensors of one dtype.
struct DTypeTotal {
  int64_t num_elements = 0;
  int64_t num_bytes = 0;

  friend bool operator==(const DTypeTotal&, const DTypeTotal&) = default;
};

/// Whether the copies of the embedding and the head count in a sum.
enum class TableCopies : int8_t { kCounted, kLeftOut };

/// The totals of `config`'s tensors as published: matrices that may be quantised in fp8 when the
/// config is quantised, scales and gate biases in f32, the rest in `config.dtype`.
std::map<DType, DTypeTotal> PublishedTotals(const ModelConfig& config, TableCopies copies);

}  // namespace hadal
