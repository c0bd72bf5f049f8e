#pragma once

// Which matrices of a model are packed, and where each lies among the packed data. Router, norms,
// biases and the embedding stay as they are: they are small or read a row at a time.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/checkpoint/model_config.h"
#include "engine/packing/weight_packing.h"
#include "kernels/weight_matrix.h"

namespace hadal {

/// What of its source a packed matrix holds.
enum class PackedPart : int8_t {
  kWhole,
  kKeys,    // KvUpWeights::keys of a kv_b_proj
  kValues,  // KvUpWeights::values of a kv_b_proj
};

/// One matrix in panels.
struct PackedMatrix {
  std::string name;  // of its tensor in the packed file; where it is a whole one, in the checkpoint
  std::string source;  // the tensor that it is made from: another one when the head is tied
  PackedPart part = PackedPart::kWhole;
  WeightFormat format = WeightFormat::kInt8;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t offset = 0;  // in bytes from the start of the packed data, a multiple of 64

  [[nodiscard]] int64_t num_panels() const;
  [[nodiscard]] int64_t panel_bytes() const;
  [[nodiscard]] int64_t size_bytes() const { return num_panels() * panel_bytes(); }
};

/// Neighbouring panels of one matrix: what is packed, written and checked at a time.
struct PackedPiece {
  int64_t matrix = 0;  // its place in PackedLayout::matrices
  int64_t first_panel = 0;
  int64_t num_panels = 0;
  int64_t offset = 0;  // in bytes from the start of the packed data
  int64_t size_bytes = 0;
};

/// All packed matrices of a model, one after the other without gaps, and all their pieces.
struct PackedLayout {
  std::vector<PackedMatrix> matrices;
  std::vector<PackedPiece> pieces;
  int64_t total_bytes = 0;
};

/// A piece has this many bytes or less, unless a single panel has more.
inline constexpr int64_t kPieceBytes = int64_t{1} << 20U;

/// The names of the parts of layer `prefix`'s kv_b_proj: "model.layers.0.self_attn." and so on.
std::string PackedKeysName(std::string_view prefix);
std::string PackedValuesName(std::string_view prefix);

/// REQUIRES: `packing` is not kNative.
PackedLayout MakePackedLayout(const ModelConfig& config, WeightPacking packing);

}  // namespace hadal
