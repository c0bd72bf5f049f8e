#include "engine/checkpoint/model_config.h"

#include <ostream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "tests/support/checkpoint_writer.h"
#include "tests/support/published_config.h"

namespace hadal {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// The tiny config with one key replaced by the JSON text `value`, or taken out when it is empty.
boost::json::object TinyWith(const std::string& key, const std::string& value) {
  boost::json::object config = TinyConfig();
  if (value.empty()) {
    config.erase(key);
    return config;
  }
  config[key] = *ParseJson(value);
  return config;
}

TEST(ModelConfigTest, ReadsV2Lite) {
  const ModelConfig config = ReadPublishedConfig("deepseek-v2-lite");
  EXPECT_EQ(config.family, ModelFamily::kDeepseekV2);
  EXPECT_EQ(config.model_type, "deepseek_v2");
  EXPECT_EQ(config.hidden_size, 2048);
  EXPECT_EQ(config.num_hidden_layers, 27);
  EXPECT_EQ(config.num_nextn_predict_layers, 0);
  EXPECT_EQ(config.q_lora_rank, 0);
  EXPECT_EQ(config.qk_head_dim(), 192);
  EXPECT_EQ(config.latent_row_width(), 576);
  EXPECT_EQ(config.topk_method, TopkMethod::kGreedy);
  EXPECT_EQ(config.scoring_func, ScoringFunc::kSoftmax);
  EXPECT_FALSE(config.norm_topk_prob);
  EXPECT_EQ(config.rms_norm_eps, 1e-6F);
  EXPECT_EQ(config.rope_theta, 10000);
  ASSERT_TRUE(config.rope_scaling.has_value());
  EXPECT_EQ(config.rope_scaling->factor, 40);
  EXPECT_EQ(config.rope_scaling->original_max_position_embeddings, 4096);
  EXPECT_EQ(config.rope_scaling->mscale_all_dim, 0.707);
  EXPECT_EQ(config.bos_token_id, 100000);
  EXPECT_THAT(config.eos_token_ids, ElementsAre(100001));
  EXPECT_EQ(config.dtype, DType::kBf16);
  EXPECT_FALSE(config.quantization.has_value());
  EXPECT_FALSE(config.IsMoeLayer(0));
  EXPECT_TRUE(config.IsMoeLayer(1));
}

TEST(ModelConfigTest, ReadsV2) {
  const ModelConfig config = ReadPublishedConfig("deepseek-v2");
  EXPECT_EQ(config.topk_method, TopkMethod::kGroupLimitedGreedy);
  EXPECT_EQ(config.n_group, 8);
  EXPECT_EQ(config.topk_group, 3);
  EXPECT_EQ(config.routed_scaling_factor, 16.0F);
  EXPECT_EQ(config.q_lora_rank, 1536);
}

TEST(ModelConfigTest, ReadsV3) {
  const ModelConfig config = ReadPublishedConfig("deepseek-v3");
  EXPECT_EQ(config.family, ModelFamily::kDeepseekV3);
  EXPECT_EQ(config.topk_method, TopkMethod::kNoauxTc);
  EXPECT_EQ(config.scoring_func, ScoringFunc::kSigmoid);
  EXPECT_TRUE(config.norm_topk_prob);
  EXPECT_EQ(config.routed_scaling_factor, 2.5F);
  ASSERT_TRUE(config.quantization.has_value());
  EXPECT_EQ(config.quantization->block_rows, 128);
  EXPECT_EQ(config.quantization->block_cols, 128);
  EXPECT_FALSE(config.IsMoeLayer(2));
  EXPECT_TRUE(config.IsMoeLayer(3));
  EXPECT_TRUE(config.IsMoeLayer(61));
  EXPECT_EQ(ReadPublishedConfig("deepseek-v3.1").quantization->block_rows, 128);
}

TEST(ModelConfigTest, ReadsKimiK2AndMoonlight) {
  const ModelConfig kimi = ReadPublishedConfig("kimi-k2");
  EXPECT_EQ(kimi.family, ModelFamily::kKimiK2);
  EXPECT_EQ(kimi.n_routed_experts, 384);
  EXPECT_EQ(kimi.rope_theta, 50000);
  EXPECT_EQ(kimi.rope_scaling->beta_fast, 1);
  const ModelConfig moonlight = ReadPublishedConfig("moonlight-16b-a3b");
  EXPECT_EQ(moonlight.family, ModelFamily::kDeepseekV3);
  EXPECT_EQ(moonlight.rms_norm_eps, 1e-5F);
  EXPECT_FALSE(moonlight.rope_scaling.has_value());
}

TEST(ModelConfigTest, ReadsWhatTransformersWritesBack) {
  const ModelConfig published = ReadPublishedConfig("deepseek-v2-lite");
  const ModelConfig resaved = ReadPublishedConfig("deepseek-v2-lite-resaved");
  EXPECT_EQ(resaved.rope_scaling, published.rope_scaling);
  EXPECT_EQ(resaved.rope_theta, published.rope_theta);
  EXPECT_EQ(resaved.n_group, 1);
  EXPECT_EQ(resaved.topk_group, 1);
  EXPECT_EQ(resaved.scoring_func, published.scoring_func);
  EXPECT_EQ(resaved.dtype, published.dtype);
}

TEST(ModelConfigTest, RelativesAreRefusedByName) {
  for (const auto& [name, what] :
       {std::pair("deepseek-v3.2", "found \"deepseek_v32\""),
        std::pair("glm-5", "found \"glm_moe_dsa\""),
        std::pair("kimi-k2.5", "text_config: models that nest their language model")}) {
    const auto config = ReadModelConfig(PublishedConfigPath(name));
    EXPECT_EQ(config.status().code(), absl::StatusCode::kUnimplemented);
    EXPECT_THAT(std::string(MessageOf(config.status())), HasSubstr(what));
    EXPECT_THAT(std::string(MessageOf(config.status())), HasSubstr(PublishedConfigPath(name)));
  }
}

TEST(ModelConfigTest, AbsentKeysGetTheDefaultsOfTheirClass) {
  const auto v3 = ParseModelConfig(TinyConfig());
  ASSERT_TRUE(v3.ok()) << v3.status();
  EXPECT_EQ(v3->scoring_func, ScoringFunc::kSigmoid);
  EXPECT_EQ(v3->topk_method, TopkMethod::kNoauxTc);
  EXPECT_TRUE(v3->norm_topk_prob);
  EXPECT_EQ(v3->routed_scaling_factor, 2.5F);
  EXPECT_EQ(v3->rope_theta, 10000);
  EXPECT_EQ(v3->rms_norm_eps, 1e-6F);

  boost::json::object json = TinyWith("model_type", "\"deepseek_v2\"");
  json.erase("n_group");
  json.erase("topk_group");
  json.erase("first_k_dense_replace");
  json.erase("torch_dtype");
  json.erase("bos_token_id");
  json.erase("eos_token_id");
  json.erase("num_nextn_predict_layers");
  const auto v2 = ParseModelConfig(json);
  ASSERT_TRUE(v2.ok()) << v2.status();
  EXPECT_EQ(v2->scoring_func, ScoringFunc::kSoftmax);
  EXPECT_EQ(v2->topk_method, TopkMethod::kGreedy);
  EXPECT_FALSE(v2->norm_topk_prob);
  EXPECT_EQ(v2->routed_scaling_factor, 1.0F);
  EXPECT_EQ(v2->n_group, 1);
  EXPECT_EQ(v2->first_k_dense_replace, 0);
  EXPECT_EQ(v2->dtype, DType::kBf16);
  EXPECT_EQ(v2->num_nextn_predict_layers, 0);
  EXPECT_FALSE(v2->bos_token_id.has_value());
  EXPECT_THAT(v2->eos_token_ids, IsEmpty());
}

TEST(ModelConfigTest, MoeLayersFollowTheFrequency) {
  boost::json::object json = TinyConfig();
  json["num_hidden_layers"] = 6;
  json["moe_layer_freq"] = 2;
  const auto config = ParseModelConfig(json);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_FALSE(config->IsMoeLayer(0));
  EXPECT_FALSE(config->IsMoeLayer(1));
  EXPECT_TRUE(config->IsMoeLayer(2));
  EXPECT_FALSE(config->IsMoeLayer(3));
  EXPECT_TRUE(config->IsMoeLayer(6));
  EXPECT_TRUE(config->IsMoeLayer(7));
}

struct AcceptedValue {
  const char* key;
  const char* value;  // JSON

  // How the test is listed.
  friend void PrintTo(const AcceptedValue& param, std::ostream* out) { *out << param.key; }
};

class AcceptedValueTest : public testing::TestWithParam<AcceptedValue> {};

TEST_P(AcceptedValueTest, Parses) {
  const auto config = ParseModelConfig(TinyWith(GetParam().key, GetParam().value));
  EXPECT_TRUE(config.ok()) << config.status();
}

INSTANTIATE_TEST_SUITE_P(
    Values,
    AcceptedValueTest,
    testing::Values(AcceptedValue{"rms_norm_eps", "1e-06"},
                    AcceptedValue{"rope_theta", "10000"},
                    AcceptedValue{"rope_theta", "50000.0"},
                    AcceptedValue{"routed_scaling_factor", "16"},
                    AcceptedValue{"rope_scaling", "null"},
                    AcceptedValue{"rope_scaling", R"({"type": "default"})"},
                    AcceptedValue{"rope_scaling",
                                  R"({"rope_type": "yarn", "type": "yarn", "factor": 40,
                          "original_max_position_embeddings": 4096, "mscale": null})"},
                    AcceptedValue{"rope_parameters",
                                  R"({"rope_type": "default", "rope_theta": 5e5})"},
                    AcceptedValue{"rope_parameters",
                                  R"({"rope_type": "yarn", "rope_theta": 10000, "factor": 2.0,
                          "original_max_position_embeddings": 32, "attention_factor": 1.0,
                          "truncate": false, "partial_rotary_factor": 1.0})"},
                    AcceptedValue{"eos_token_id", "[1, 2, 39]"},
                    AcceptedValue{"eos_token_id", "null"},
                    AcceptedValue{"bos_token_id", "null"},
                    AcceptedValue{"n_routed_experts", "null"},
                    AcceptedValue{"q_lora_rank", "null"},
                    AcceptedValue{"head_dim", "\"whatever\""},
                    AcceptedValue{"num_key_value_heads", "2"},
                    AcceptedValue{"hidden_act", "\"silu\""},
                    AcceptedValue{"attention_bias", "false"},
                    AcceptedValue{"rope_interleave", "true"},
                    AcceptedValue{"dtype", "\"bfloat16\""},
                    AcceptedValue{"torch_dtype", "\"float32\""},
                    AcceptedValue{"quantization_config", "null"},
                    AcceptedValue{"quantization_config",
                                  R"({"quant_method": "fp8", "activation_scheme": "dynamic",
                          "scale_fmt": "ue8m0", "weight_block_size": [32, 32],
                          "modules_to_not_convert": ["lm_head"], "dequantize": false})"}),
    [](const testing::TestParamInfo<AcceptedValue>& accepted) {
      return absl::StrFormat("%s_%d", accepted.param.key, accepted.index);
    });

struct RefusedValue {
  const char* name;
  const char* key;
  const char* value;    // JSON; empty: the key is taken out
  const char* message;  // part of it

  // How the test is listed.
  friend void PrintTo(const RefusedValue& param, std::ostream* out) { *out << param.key; }
};

class RefusedValueTest : public testing::TestWithParam<RefusedValue> {};

TEST_P(RefusedValueTest, NamesTheKey) {
  const auto config = ParseModelConfig(TinyWith(GetParam().key, GetParam().value));
  ASSERT_FALSE(config.ok());
  EXPECT_TRUE(config.status().code() == absl::StatusCode::kInvalidArgument ||
              config.status().code() == absl::StatusCode::kUnimplemented);
  const std::string message(MessageOf(config.status()));
  EXPECT_THAT(message, testing::StartsWith("config.json: "));
  EXPECT_THAT(message, HasSubstr(GetParam().message));
}

std::string NameOfValue(const testing::TestParamInfo<RefusedValue>& refused) {
  return refused.param.name;
}

constexpr RefusedValue kRefusedSizes[] = {
    {"SizeAbsent", "hidden_size", "", "hidden_size: expected an integer from 1 to 1048576"},
    {"SizeNull", "hidden_size", "null", "found null"},
    {"SizeString", "hidden_size", "\"abc\"", "found \"abc\""},
    {"SizeArray", "vocab_size", "[1, 2]", "found an array of 2"},
    {"SizeObject", "vocab_size", "{}", "found an object"},
    {"SizeBool", "kv_lora_rank", "true", "found true"},
    {"SizeFraction", "v_head_dim", "2.5", "v_head_dim: expected an integer"},
    {"SizeIntegralFloat", "v_head_dim", "4.0", "v_head_dim: expected an integer"},
    {"SizeZero", "intermediate_size", "0", "intermediate_size: "},
    {"SizeNegative", "num_attention_heads", "-8", "found -8"},
    {"SizeHuge", "vocab_size", "2097152", "found 2097152"},
    {"SizeBeyondInt64", "vocab_size", "18446744073709551615", "found 18446744073709551615"},
    {"SizeBeyondUint64", "vocab_size", "1e30", "vocab_size: "},
    {"LongString",
     "hidden_size",
     "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
     "aaa…"},
    {"TooManyLayers", "num_hidden_layers", "1025", "num_hidden_layers: "},
    {"TooManyMtpLayers", "num_nextn_predict_layers", "5000", "num_nextn_predict_layers: "},
    {"OddRope", "qk_rope_head_dim", "5", "qk_rope_head_dim: expected an even number, found 5"},
    {"QueryRankAbsent", "q_lora_rank", "", "q_lora_rank: "},
    {"QueryRankZero", "q_lora_rank", "0", "q_lora_rank: "},
    {"PositionsAbsent", "max_position_embeddings", "", "max_position_embeddings: "},
    {"KeyValueHeads",
     "num_key_value_heads",
     "1",
     "num_key_value_heads: expected num_attention_heads (2), found 1"},
};
INSTANTIATE_TEST_SUITE_P(Sizes, RefusedValueTest, testing::ValuesIn(kRefusedSizes), NameOfValue);

constexpr RefusedValue kRefusedExperts[] = {
    {"ExpertsAbsent", "n_routed_experts", "", "n_routed_experts: "},
    {"TooManyExperts", "n_routed_experts", "5000", "n_routed_experts: "},
    {"ExpertWidthAbsent", "moe_intermediate_size", "", "moe_intermediate_size: "},
    {"TopKAbsent", "num_experts_per_tok", "", "num_experts_per_tok: "},
    {"TopKBeyondGroups",
     "num_experts_per_tok",
     "3",
     "num_experts_per_tok: expected at most the 2 experts of the chosen groups, found 3"},
    {"GroupsAbsent", "n_group", "", "n_group: "},
    {"GroupsNull", "n_group", "null", "n_group: "},
    {"GroupsDoNotDivide", "n_group", "3", "n_group: expected a divisor of 4 experts, found 3"},
    {"GroupsOfOne", "n_group", "4", "n_group: expected groups of at least 2 experts"},
    {"TopGroups", "topk_group", "3", "topk_group: expected at most n_group (2), found 3"},
    {"LayerFrequencyZero", "moe_layer_freq", "0", "moe_layer_freq: "},
    {"LayerFrequencyList", "moe_layer_freq", "[0, 1]", "moe_layer_freq: "},
    {"DenseLayersNegative", "first_k_dense_replace", "-1", "first_k_dense_replace: "},
    {"NormNumber", "norm_topk_prob", "1", "norm_topk_prob: expected true or false, found 1"},
    {"ScalingZero", "routed_scaling_factor", "0", "routed_scaling_factor: "},
    {"Scoring", "scoring_func", "\"sqrtsoftplus\"", "scoring_func: only"},
    {"ScoringType", "scoring_func", "3", "scoring_func: expected a string, found 3"},
    {"Method", "topk_method", "\"magic\"", "topk_method: only"},
    {"TooManySharedExperts", "n_shared_experts", "65", "n_shared_experts: "},
};
INSTANTIATE_TEST_SUITE_P(Experts,
                         RefusedValueTest,
                         testing::ValuesIn(kRefusedExperts),
                         NameOfValue);

constexpr RefusedValue kRefusedRope[] = {
    {"Type",
     "rope_scaling",
     R"({"type": "linear", "factor": 2})",
     "rope_scaling.type: only \"yarn\" or \"default\" is supported, found \"linear\""},
    {"NewTypeOfParameters",
     "rope_parameters",
     R"({"rope_type": "llama3"})",
     "rope_parameters.rope_type: only"},
    {"TypeAbsent", "rope_scaling", R"({"factor": 2})", "rope_scaling.type: expected"},
    {"TypesDiffer",
     "rope_scaling",
     R"({"type": "yarn", "rope_type": "default"})",
     "rope_scaling.rope_type: expected the same as \"type\""},
    {"ScalingString", "rope_scaling", "\"yarn\"", "rope_scaling: expected an object"},
    {"FactorAbsent", "rope_scaling", R"({"type": "yarn"})", "rope_scaling.factor: "},
    {"FactorBelowOne",
     "rope_scaling",
     R"({"type": "yarn", "factor": 0.5, "original_max_position_embeddings": 4096})",
     "rope_scaling.factor: expected a number from 1"},
    {"OriginalAbsent",
     "rope_scaling",
     R"({"type": "yarn", "factor": 40})",
     "rope_scaling.original_max_position_embeddings: "},
    {"Betas",
     "rope_scaling",
     R"({"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096,
         "beta_fast": 1, "beta_slow": 2})",
     "rope_scaling.beta_fast: expected at least \"beta_slow\""},
    {"MscaleString",
     "rope_scaling",
     R"({"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096,
         "mscale": "1"})",
     "rope_scaling.mscale: expected a number"},
    {"TruncateNumber",
     "rope_scaling",
     R"({"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096,
         "truncate": 1})",
     "rope_scaling.truncate: expected true or false"},
    {"UnknownKey",
     "rope_scaling",
     R"({"type": "default", "low_freq_factor": 1})",
     "rope_scaling.low_freq_factor: a key that Hadal does not know"},
    {"PartialRotary",
     "rope_parameters",
     R"({"rope_type": "default", "partial_rotary_factor": 0.5})",
     "rope_parameters.partial_rotary_factor: only 1"},
    {"ThetaString", "rope_theta", "\"10000\"", "rope_theta: expected a number"},
    {"ThetaZero", "rope_theta", "0", "rope_theta: "},
};
INSTANTIATE_TEST_SUITE_P(Rope, RefusedValueTest, testing::ValuesIn(kRefusedRope), NameOfValue);

constexpr RefusedValue kRefusedFeatures[] = {
    {"ModelTypeAbsent", "model_type", "", "model_type: expected a string, found nothing"},
    {"ModelTypeNumber", "model_type", "3", "model_type: expected a string, found 3"},
    {"ModelTypeUnknown", "model_type", "\"llama\"", "found \"llama\""},
    {"Activation", "hidden_act", "\"gelu\"", "hidden_act: only \"silu\" is supported"},
    {"AttentionBias", "attention_bias", "true", "attention_bias: only false is supported"},
    {"MlpBias", "mlp_bias", "true", "mlp_bias: only false is supported"},
    {"RopeInterleave", "rope_interleave", "false", "rope_interleave: only true is supported"},
    {"NotMla", "use_mla", "false", "use_mla: only true is supported"},
    {"Compression", "compression_config", "{}", "compression_config: "},
    {"DType", "torch_dtype", "\"float64\"", "torch_dtype: only"},
    {"NewDType", "dtype", "\"int8\"", "dtype: expected the same as \"torch_dtype\""},
    {"Eps", "rms_norm_eps", "0", "rms_norm_eps: "},
    {"EpsNegative", "rms_norm_eps", "-1e-6", "rms_norm_eps: "},
    {"TieString", "tie_word_embeddings", "\"no\"", "tie_word_embeddings: expected true or"},
    {"Bos", "bos_token_id", "40", "bos_token_id: expected an integer from 0 to 39, found 40"},
    {"Eos", "eos_token_id", "-1", "eos_token_id: "},
    {"EosList", "eos_token_id", "[1, 40]", "eos_token_id: expected integers from 0 to 39"},
    {"EosListType", "eos_token_id", "[\"</s>\"]", "found \"</s>\" among them"},
};
INSTANTIATE_TEST_SUITE_P(Features,
                         RefusedValueTest,
                         testing::ValuesIn(kRefusedFeatures),
                         NameOfValue);

constexpr RefusedValue kRefusedQuantization[] = {
    {"Type", "quantization_config", "\"fp8\"", "quantization_config: expected an object"},
    {"MethodAbsent", "quantization_config", "{}", "quantization_config.quant_method: "},
    {"Method",
     "quantization_config",
     R"({"quant_method": "compressed-tensors", "bits": 4})",
     "only \"fp8\" is supported, found \"compressed-tensors\""},
    {"Format",
     "quantization_config",
     R"({"quant_method": "fp8", "fmt": "e5m2"})",
     "quantization_config.fmt: only"},
    {"Scheme",
     "quantization_config",
     R"({"quant_method": "fp8", "activation_scheme": "static"})",
     "quantization_config.activation_scheme: only"},
    {"ScaleFormat",
     "quantization_config",
     R"({"quant_method": "fp8", "scale_fmt": "e4m3"})",
     "quantization_config.scale_fmt: only"},
    {"Dequantize",
     "quantization_config",
     R"({"quant_method": "fp8", "dequantize": true})",
     "quantization_config.dequantize: only"},
    {"UnknownKey",
     "quantization_config",
     R"({"quant_method": "fp8", "group_size": 32})",
     "quantization_config.group_size: a key that Hadal does not know, with the value 32"},
    {"BlocksAbsent",
     "quantization_config",
     R"({"quant_method": "fp8"})",
     "quantization_config.weight_block_size: expected two integers"},
    {"OneBlock",
     "quantization_config",
     R"({"quant_method": "fp8", "weight_block_size": [128]})",
     "quantization_config.weight_block_size: "},
    {"ZeroBlock",
     "quantization_config",
     R"({"quant_method": "fp8", "weight_block_size": [128, 0]})",
     "quantization_config.weight_block_size: "},
};
INSTANTIATE_TEST_SUITE_P(Quantization,
                         RefusedValueTest,
                         testing::ValuesIn(kRefusedQuantization),
                         NameOfValue);

TEST(ModelConfigTest, OldAndNewRopeKeysMustAgree) {
  boost::json::object json = TinyConfig();
  json["rope_theta"] = 10000;
  json["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 10000.0}};
  EXPECT_TRUE(ParseModelConfig(json).ok());
  json["rope_theta"] = 50000;
  EXPECT_THAT(std::string(MessageOf(ParseModelConfig(json).status())),
              HasSubstr("rope_parameters.rope_theta: expected the same as the top-level"));
  json["rope_theta"] = 10000;
  json["rope_scaling"] = {
      {"type", "yarn"}, {"factor", 4}, {"original_max_position_embeddings", 32}};
  EXPECT_THAT(std::string(MessageOf(ParseModelConfig(json).status())),
              HasSubstr("the same scaling as in \"rope_scaling\""));
}

TEST(ModelConfigTest, BoundsTheExpertsOfTheWholeModel) {
  boost::json::object json = TinyConfig();
  json["num_hidden_layers"] = 1000;
  json["n_routed_experts"] = 4096;
  EXPECT_THAT(std::string(MessageOf(ParseModelConfig(json).status())),
              HasSubstr("n_routed_experts: expected at most 131072 in all layers"));
}

TEST(ModelConfigTest, GreedyIsNotLimitedByGroups) {
  boost::json::object json = TinyWith("topk_method", "\"greedy\"");
  json["num_experts_per_tok"] = 4;
  EXPECT_TRUE(ParseModelConfig(json).ok());
}

TEST(ModelConfigTest, TheFileMustHoldAnObject) {
  EXPECT_THAT(std::string(MessageOf(ParseModelConfig(boost::json::value(3)).status())),
              HasSubstr("config.json: expected an object, found 3"));
}

TEST(ModelConfigTest, ReadsAFolderOrAFile) {
  const std::string folder = WriteFolder(ToFiles(MakeTestCheckpoint(TinyConfig())));
  EXPECT_TRUE(ReadModelConfig(folder).ok());
  EXPECT_TRUE(ReadModelConfig(folder + "/config.json").ok());
  EXPECT_EQ(ReadModelConfig(folder + "/none").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace hadal
