#include "engine/packing/packed_layout.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/quantization/panels.h"
#include "tests/support/checkpoint_writer.h"

namespace hadal {
namespace {

using testing::Contains;
using testing::Not;

std::vector<std::string> NamesOf(const PackedLayout& layout) {
  std::vector<std::string> names;
  for (const PackedMatrix& matrix : layout.matrices) {
    names.push_back(matrix.name);
  }
  return names;
}

const PackedMatrix& Find(const PackedLayout& layout, const std::string& name) {
  const auto found = std::find_if(layout.matrices.begin(),
                                  layout.matrices.end(),
                                  [&](const PackedMatrix& matrix) { return matrix.name == name; });
  CHECK(found != layout.matrices.end());
  return *found;
}

ModelConfig Parse(const boost::json::object& json) {
  const auto config = ParseModelConfig(json);
  CHECK(config.ok());
  return *config;
}

TEST(PackedLayoutTest, HoldsLargeMatricesAndNothingElse) {
  const auto names = NamesOf(MakePackedLayout(Parse(TinyConfig()), WeightPacking::kInt4));
  for (const char* packed : {"lm_head.weight",
                             "model.layers.0.self_attn.q_a_proj.weight",
                             "model.layers.0.self_attn.q_b_proj.weight",
                             "model.layers.0.self_attn.kv_a_proj_with_mqa.weight",
                             "model.layers.0.self_attn.kv_b_proj.keys",
                             "model.layers.2.self_attn.kv_b_proj.values",
                             "model.layers.0.self_attn.o_proj.weight",
                             "model.layers.0.mlp.down_proj.weight",
                             "model.layers.1.mlp.experts.3.up_proj.weight",
                             "model.layers.1.mlp.shared_experts.gate_proj.weight",
                             "model.layers.2.eh_proj.weight",
                             "model.layers.2.mlp.experts.0.gate_proj.weight"}) {
    EXPECT_THAT(names, Contains(packed));
  }
  for (const char* native : {"model.embed_tokens.weight",
                             "model.norm.weight",
                             "model.layers.0.self_attn.kv_b_proj.weight",
                             "model.layers.0.self_attn.o_proj.weight_scale_inv",
                             "model.layers.1.mlp.gate.weight",
                             "model.layers.1.mlp.gate.e_score_correction_bias",
                             "model.layers.2.embed_tokens.weight",
                             "model.layers.2.shared_head.head.weight"}) {
    EXPECT_THAT(names, Not(Contains(native)));
  }
}

TEST(PackedLayoutTest, ModelsWithoutQueryLatentsHaveTheirOneMatrix) {
  boost::json::object json = TinyConfig();
  json["q_lora_rank"] = nullptr;
  EXPECT_THAT(NamesOf(MakePackedLayout(Parse(json), WeightPacking::kInt8)),
              Contains("model.layers.0.self_attn.q_proj.weight"));
}

TEST(PackedLayoutTest, TheHeadIsInt8AndMayBeMadeFromTheEmbedding) {
  boost::json::object json = TinyConfig();
  for (const bool tied : {false, true}) {
    json["tie_word_embeddings"] = tied;
    const PackedLayout layout = MakePackedLayout(Parse(json), WeightPacking::kInt4);
    const PackedMatrix& head = Find(layout, "lm_head.weight");
    EXPECT_EQ(head.format, WeightFormat::kInt8);
    EXPECT_EQ(head.source, tied ? "model.embed_tokens.weight" : "lm_head.weight");
    EXPECT_EQ(Find(layout, "model.layers.0.self_attn.o_proj.weight").format, WeightFormat::kInt4);
  }
}

TEST(PackedLayoutTest, PiecesCoverTheDataOnceAndAreOfBoundedSize) {
  boost::json::object json = TinyConfig();
  json["vocab_size"] = 100'000;  // a head of several pieces
  const PackedLayout layout = MakePackedLayout(Parse(json), WeightPacking::kInt8);
  int64_t end = 0;
  int64_t most_of_one_matrix = 0;
  for (const PackedPiece& piece : layout.pieces) {
    const PackedMatrix& matrix = layout.matrices[static_cast<size_t>(piece.matrix)];
    EXPECT_EQ(piece.offset, end);
    EXPECT_EQ(piece.offset, matrix.offset + piece.first_panel * matrix.panel_bytes());
    EXPECT_EQ(piece.size_bytes, piece.num_panels * matrix.panel_bytes());
    EXPECT_LE(piece.size_bytes, kPieceBytes);
    EXPECT_EQ(matrix.offset % 64, 0);
    end += piece.size_bytes;
    most_of_one_matrix = std::max(most_of_one_matrix, piece.first_panel);
  }
  EXPECT_EQ(end, layout.total_bytes);
  EXPECT_GT(most_of_one_matrix, 0);
}

}  // namespace
}  // namespace hadal
