#include "engine/packing/packed_layout.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "engine/checkpoint/weight_map.h"
#include "kernels/quantization/panels.h"

namespace hadal {
namespace {

constexpr std::string_view kHead = "lm_head.weight";
constexpr std::string_view kEmbedding = "model.embed_tokens.weight";
constexpr std::string_view kKvUp = "kv_b_proj.weight";  // packed in two parts

// The ends of the names of what is packed, besides the head.
constexpr std::array<std::string_view, 9> kPackedNames = {".q_proj.weight",
                                                          ".q_a_proj.weight",
                                                          ".q_b_proj.weight",
                                                          ".kv_a_proj_with_mqa.weight",
                                                          ".o_proj.weight",
                                                          ".gate_proj.weight",
                                                          ".up_proj.weight",
                                                          ".down_proj.weight",
                                                          ".eh_proj.weight"};

bool IsPacked(std::string_view name) {
  return name == kHead || std::any_of(kPackedNames.begin(),
                                      kPackedNames.end(),
                                      [name](std::string_view end) { return name.ends_with(end); });
}

// The head decides between tokens that are close: its errors count more than those of layers.
WeightFormat FormatOf(std::string_view name, WeightPacking packing) {
  return packing == WeightPacking::kInt4 && name != kHead ? WeightFormat::kInt4
                                                          : WeightFormat::kInt8;
}

void AddPieces(const PackedMatrix& matrix, int64_t place, std::vector<PackedPiece>& pieces) {
  const int64_t most_panels = std::max<int64_t>(1, kPieceBytes / matrix.panel_bytes());
  for (int64_t first = 0; first < matrix.num_panels(); first += most_panels) {
    const int64_t num_panels = std::min(most_panels, matrix.num_panels() - first);
    pieces.push_back({.matrix = place,
                      .first_panel = first,
                      .num_panels = num_panels,
                      .offset = matrix.offset + first * matrix.panel_bytes(),
                      .size_bytes = num_panels * matrix.panel_bytes()});
  }
}

}  // namespace

int64_t PackedMatrix::num_panels() const {
  return NumPanels(rows);
}

int64_t PackedMatrix::panel_bytes() const {
  return PanelBytes(format, cols);
}

std::string PackedKeysName(std::string_view prefix) {
  return std::string(prefix) + "kv_b_proj.keys";
}

std::string PackedValuesName(std::string_view prefix) {
  return std::string(prefix) + "kv_b_proj.values";
}

PackedLayout MakePackedLayout(const ModelConfig& config, WeightPacking packing) {
  CHECK(packing != WeightPacking::kNative);
  PackedLayout layout;
  const auto add = [&](PackedMatrix matrix) {
    matrix.format = FormatOf(matrix.name, packing);
    matrix.offset = layout.total_bytes;
    layout.total_bytes += matrix.size_bytes();
    AddPieces(matrix, std::ssize(layout.matrices), layout.pieces);
    layout.matrices.push_back(std::move(matrix));
  };
  for (const ExpectedTensor& tensor : ListExpectedTensors(config)) {
    const std::string_view name = tensor.name;
    if (IsPacked(name)) {
      const bool is_tied_head = name == kHead && config.tie_word_embeddings;
      add({.name = tensor.name,
           .source = is_tied_head ? std::string(kEmbedding) : tensor.name,
           .part = PackedPart::kWhole,
           .rows = tensor.shape[0],
           .cols = tensor.shape[1]});
    } else if (name.ends_with(kKvUp)) {
      const std::string_view prefix = name.substr(0, name.size() - kKvUp.size());
      const int64_t num_heads = config.num_attention_heads;
      add({.name = PackedKeysName(prefix),
           .source = tensor.name,
           .part = PackedPart::kKeys,
           .rows = num_heads * RoundUpToPanel(config.kv_lora_rank),
           .cols = config.qk_nope_head_dim});
      add({.name = PackedValuesName(prefix),
           .source = tensor.name,
           .part = PackedPart::kValues,
           .rows = num_heads * RoundUpToPanel(config.v_head_dim),
           .cols = config.kv_lora_rank});
    }
  }
  return layout;
}

}  // namespace hadal
