#include "engine/checkpoint/weight_map.h"

#include <unordered_set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "tests/support/checkpoint_writer.h"
#include "tests/support/published_config.h"

namespace hadal {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Not;

ModelConfig ParseTiny(const boost::json::object& config) {
  const auto parsed = ParseModelConfig(config);
  CHECK(parsed.ok());
  return *parsed;
}

// "name [shape]" of the tensors of one layer.
std::vector<std::string> Describe(const ModelConfig& config, int64_t layer) {
  std::vector<std::string> lines;
  for (const ExpectedTensor& tensor : ListExpectedTensors(config)) {
    if (tensor.layer == layer) {
      std::string line = tensor.name;
      for (const int64_t extent : tensor.shape) {
        absl::StrAppendFormat(&line, " %d", extent);
      }
      lines.push_back(line);
    }
  }
  return lines;
}

// The element counts that the model's page shows and the bytes of its 163 shards' data.
TEST(WeightMapTest, V3TotalsAreThePublishedOnes) {
  const auto totals = PublishedTotals(ReadPublishedConfig("deepseek-v3"), TableCopies::kCounted);
  ASSERT_EQ(totals.size(), 3U);
  EXPECT_EQ(totals.at(DType::kFp8E4m3).num_elements, 680'571'043'840);
  EXPECT_EQ(totals.at(DType::kBf16).num_elements, 3'918'786'560);
  EXPECT_EQ(totals.at(DType::kF32).num_elements, 41'555'600);
  EXPECT_EQ(41'555'600, 41'540'496 + 59 * 256);  // block scales, gate biases
  int64_t num_elements = 0;
  int64_t num_bytes = 0;
  for (const auto& [dtype, total] : totals) {
    num_elements += total.num_elements;
    num_bytes += total.num_bytes;
  }
  EXPECT_EQ(num_elements, 684'531'386'000);
  EXPECT_EQ(num_bytes, 688'574'839'360);
}

TEST(WeightMapTest, V3CountsScalesAndBiasesApart) {
  int64_t num_scales = 0;
  int64_t num_biases = 0;
  std::unordered_set<std::string> names;
  const auto tensors = ListExpectedTensors(ReadPublishedConfig("deepseek-v3"));
  for (const ExpectedTensor& tensor : tensors) {
    names.insert(tensor.name);
    num_scales += tensor.role == TensorRole::kBlockScale ? tensor.num_elements() : 0;
    num_biases += tensor.role == TensorRole::kGateBias ? tensor.num_elements() : 0;
  }
  EXPECT_EQ(num_scales, 41'540'496);
  EXPECT_EQ(num_biases, 59 * 256);
  EXPECT_EQ(tensors.size(), 91'991U);
  EXPECT_EQ(names.size(), tensors.size());
}

TEST(WeightMapTest, WithoutCopiesTheMtpTablesDoNotCount) {
  const ModelConfig config = ReadPublishedConfig("deepseek-v3");
  const auto all = PublishedTotals(config, TableCopies::kCounted);
  const auto unique = PublishedTotals(config, TableCopies::kLeftOut);
  EXPECT_EQ(all.at(DType::kBf16).num_elements - unique.at(DType::kBf16).num_elements,
            2 * config.vocab_size * config.hidden_size);
}

TEST(WeightMapTest, ListsADenseLayerWithScales) {
  EXPECT_THAT(Describe(ParseTiny(TinyConfig()), 0),
              ElementsAre("model.layers.0.input_layernorm.weight 24",
                          "model.layers.0.self_attn.q_a_proj.weight 14 24",
                          "model.layers.0.self_attn.q_a_proj.weight_scale_inv 2 4",
                          "model.layers.0.self_attn.q_a_layernorm.weight 14",
                          "model.layers.0.self_attn.q_b_proj.weight 20 14",
                          "model.layers.0.self_attn.q_b_proj.weight_scale_inv 3 3",
                          "model.layers.0.self_attn.kv_a_proj_with_mqa.weight 20 24",
                          "model.layers.0.self_attn.kv_a_proj_with_mqa.weight_scale_inv 3 4",
                          "model.layers.0.self_attn.kv_a_layernorm.weight 16",
                          "model.layers.0.self_attn.kv_b_proj.weight 22 16",
                          "model.layers.0.self_attn.kv_b_proj.weight_scale_inv 3 3",
                          "model.layers.0.self_attn.o_proj.weight 24 10",
                          "model.layers.0.self_attn.o_proj.weight_scale_inv 3 2",
                          "model.layers.0.post_attention_layernorm.weight 24",
                          "model.layers.0.mlp.gate_proj.weight 28 24",
                          "model.layers.0.mlp.gate_proj.weight_scale_inv 4 4",
                          "model.layers.0.mlp.up_proj.weight 28 24",
                          "model.layers.0.mlp.up_proj.weight_scale_inv 4 4",
                          "model.layers.0.mlp.down_proj.weight 24 28",
                          "model.layers.0.mlp.down_proj.weight_scale_inv 3 5"));
}

TEST(WeightMapTest, ListsAnMtpLayerOfOneExpertPairWithoutScales) {
  boost::json::object json = TinyConfig();
  json.erase("quantization_config");
  json["n_routed_experts"] = 2;
  json["n_group"] = 1;
  json["q_lora_rank"] = nullptr;
  EXPECT_THAT(Describe(ParseTiny(json), 2),
              ElementsAre("model.layers.2.embed_tokens.weight 40 24",
                          "model.layers.2.enorm.weight 24",
                          "model.layers.2.hnorm.weight 24",
                          "model.layers.2.eh_proj.weight 24 48",
                          "model.layers.2.shared_head.norm.weight 24",
                          "model.layers.2.shared_head.head.weight 40 24",
                          "model.layers.2.input_layernorm.weight 24",
                          "model.layers.2.self_attn.q_proj.weight 20 24",
                          "model.layers.2.self_attn.kv_a_proj_with_mqa.weight 20 24",
                          "model.layers.2.self_attn.kv_a_layernorm.weight 16",
                          "model.layers.2.self_attn.kv_b_proj.weight 22 16",
                          "model.layers.2.self_attn.o_proj.weight 24 10",
                          "model.layers.2.post_attention_layernorm.weight 24",
                          "model.layers.2.mlp.gate.weight 2 24",
                          "model.layers.2.mlp.gate.e_score_correction_bias 2",
                          "model.layers.2.mlp.shared_experts.gate_proj.weight 10 24",
                          "model.layers.2.mlp.shared_experts.up_proj.weight 10 24",
                          "model.layers.2.mlp.shared_experts.down_proj.weight 24 10",
                          "model.layers.2.mlp.experts.0.gate_proj.weight 10 24",
                          "model.layers.2.mlp.experts.0.up_proj.weight 10 24",
                          "model.layers.2.mlp.experts.0.down_proj.weight 24 10",
                          "model.layers.2.mlp.experts.1.gate_proj.weight 10 24",
                          "model.layers.2.mlp.experts.1.up_proj.weight 10 24",
                          "model.layers.2.mlp.experts.1.down_proj.weight 24 10"));
}

TEST(WeightMapTest, GreedyGatesHaveNoBiasAndSharedExpertsMayBeAbsent) {
  boost::json::object json = TinyConfig();
  json.erase("quantization_config");
  json["topk_method"] = "greedy";
  json["n_shared_experts"] = nullptr;
  const auto layer = Describe(ParseTiny(json), 1);
  EXPECT_THAT(layer, Contains("model.layers.1.mlp.gate.weight 4 24"));
  EXPECT_THAT(layer, Not(Contains("model.layers.1.mlp.gate.e_score_correction_bias 4")));
  EXPECT_THAT(layer, Not(Contains("model.layers.1.mlp.shared_experts.up_proj.weight 10 24")));
}

TEST(WeightMapTest, ATiedHeadIsACopy) {
  boost::json::object json = TinyConfig();
  json["tie_word_embeddings"] = true;
  for (const ExpectedTensor& tensor : ListExpectedTensors(ParseTiny(json))) {
    const bool is_copy = tensor.name == "lm_head.weight" ||
                         tensor.name == "model.layers.2.embed_tokens.weight" ||
                         tensor.name == "model.layers.2.shared_head.head.weight";
    EXPECT_EQ(tensor.presence == TensorPresence::kCopy, is_copy) << tensor.name;
  }
}

// The promise of ModelConfig: sums over the largest model that parses fit int64_t.
TEST(WeightMapTest, TheLargestModelDoesNotOverflow) {
  boost::json::object json = TinyConfig();
  for (const char* key : {"vocab_size",
                          "hidden_size",
                          "intermediate_size",
                          "moe_intermediate_size",
                          "q_lora_rank",
                          "kv_lora_rank"}) {
    json[key] = 1 << 20;
  }
  for (const char* key : {"qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"}) {
    json[key] = 1 << 13;
  }
  json["num_attention_heads"] = 4096;
  json["num_hidden_layers"] = 1024;
  json["num_nextn_predict_layers"] = 1024;
  json["n_routed_experts"] = 64;
  json["n_shared_experts"] = 64;
  json["quantization_config"].as_object()["weight_block_size"] = {1, 1};
  const ModelConfig config = ParseTiny(json);
  double num_bytes = 0;
  for (const auto& [dtype, total] : PublishedTotals(config, TableCopies::kCounted)) {
    EXPECT_GT(total.num_bytes, 0);
    num_bytes += static_cast<double>(total.num_bytes);
  }
  EXPECT_LT(num_bytes, 0x1p63);
}

TEST(WeightMapTest, NamesOfScalesAndIgnoredTensors) {
  EXPECT_EQ(BlockScaleName("a.weight"), "a.weight_scale_inv");
  EXPECT_EQ(MatrixNameOfScale("a.weight_scale_inv"), "a.weight");
  EXPECT_TRUE(IsIgnoredTensor("model.layers.3.self_attn.rotary_emb.inv_freq"));
  EXPECT_FALSE(IsIgnoredTensor("inv_freq"));
}

}  // namespace
}  // namespace hadal
