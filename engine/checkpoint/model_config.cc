#include "engine/checkpoint/model_config.h"

#include <array>
#include <string_view>
#include <utility>

#include "base/checked_cast.h"
#include "base/json.h"
#include "base/json_fields.h"
#include "base/mapped_file.h"

namespace hadal {
namespace {

constexpr size_t kMaxFileBytes = 1 << 20;

// Together these keep the bytes of a whole model, and of its cache at the longest context, within
// int64_t, and the list of its tensors within memory.
constexpr int64_t kMaxLayers = 1024;
constexpr int64_t kMaxHeads = 4096;
constexpr int64_t kMaxExperts = 4096;
constexpr int64_t kMaxExpertsOfModel = 1 << 17;
constexpr int64_t kMaxSharedExperts = 64;
constexpr FieldRange<int64_t> kSizeRange = {1, 1 << 20};
constexpr FieldRange<int64_t> kHeadDimRange = {1, 1 << 13};
constexpr FieldRange<int64_t> kPositionRange = {1, 1 << 28};
constexpr FieldRange<double> kEpsRange = {1e-30, 0.1};
constexpr FieldRange<double> kRoutedScalingRange = {1e-6, 1e6};

absl::StatusOr<ModelFamily> ParseFamily(const JsonFields& fields) {
  if (fields.Find("text_config") != nullptr) {
    return Unimplemented(
        "text_config: models that nest their language model (Kimi-K2.5 and later) are not "
        "supported");
  }
  ASSIGN_OR_RETURN(const std::string_view model_type, fields.String("model_type"));
  constexpr std::array kFamilies = {std::pair("deepseek_v2", ModelFamily::kDeepseekV2),
                                    std::pair("deepseek_v3", ModelFamily::kDeepseekV3),
                                    std::pair("kimi_k2", ModelFamily::kKimiK2)};
  for (const auto& [name, family] : kFamilies) {
    if (model_type == name) {
      return family;
    }
  }
  return fields.Unsupported("model_type", "\"deepseek_v2\", \"deepseek_v3\" or \"kimi_k2\"");
}

// Refuses keys that would change the computation in a way Hadal does not have.
absl::Status CheckFixedFeatures(const JsonFields& fields) {
  ASSIGN_OR_RETURN(const std::string_view activation, fields.StringOr("hidden_act", "silu"));
  if (activation != "silu") {
    return fields.Unsupported("hidden_act", "\"silu\"");
  }
  constexpr std::array kFixed = {std::pair("attention_bias", false),
                                 std::pair("mlp_bias", false),
                                 std::pair("rope_interleave", true),
                                 std::pair("use_mla", true)};
  for (const auto& [key, supported] : kFixed) {
    ASSIGN_OR_RETURN(const bool value, fields.BoolOr(key, supported));
    if (value != supported) {
      return fields.Unsupported(key, supported ? "true" : "false");
    }
  }
  if (fields.Find("compression_config") != nullptr) {
    return fields.Unsupported("compression_config", "\"quantization_config\"");
  }
  return absl::OkStatus();
}

absl::Status ParseSizes(const JsonFields& fields, ModelConfig& config) {
  ASSIGN_OR_RETURN(config.vocab_size, fields.Int("vocab_size", kSizeRange));
  ASSIGN_OR_RETURN(config.hidden_size, fields.Int("hidden_size", kSizeRange));
  ASSIGN_OR_RETURN(config.intermediate_size, fields.Int("intermediate_size", kSizeRange));
  ASSIGN_OR_RETURN(config.num_hidden_layers, fields.Int("num_hidden_layers", {1, kMaxLayers}));
  ASSIGN_OR_RETURN(config.num_nextn_predict_layers,
                   fields.IntOr("num_nextn_predict_layers", {0, kMaxLayers}, 0));
  ASSIGN_OR_RETURN(config.num_attention_heads, fields.Int("num_attention_heads", {1, kMaxHeads}));
  ASSIGN_OR_RETURN(config.q_lora_rank, fields.IntOrNull("q_lora_rank", kSizeRange));
  ASSIGN_OR_RETURN(config.kv_lora_rank, fields.Int("kv_lora_rank", kSizeRange));
  ASSIGN_OR_RETURN(config.qk_nope_head_dim, fields.Int("qk_nope_head_dim", kHeadDimRange));
  ASSIGN_OR_RETURN(config.qk_rope_head_dim, fields.Int("qk_rope_head_dim", kHeadDimRange));
  ASSIGN_OR_RETURN(config.v_head_dim, fields.Int("v_head_dim", kHeadDimRange));
  ASSIGN_OR_RETURN(config.max_position_embeddings,
                   fields.Int("max_position_embeddings", kPositionRange));
  if (config.qk_rope_head_dim % 2 != 0) {
    return fields.Unexpected("qk_rope_head_dim", "an even number");
  }
  const int64_t num_heads = config.num_attention_heads;
  ASSIGN_OR_RETURN(const int64_t num_key_value_heads,
                   fields.IntOr("num_key_value_heads", {1, kMaxHeads}, num_heads));
  if (num_key_value_heads != num_heads) {
    return fields.Unexpected("num_key_value_heads",
                             absl::StrFormat("num_attention_heads (%d)", num_heads));
  }
  return absl::OkStatus();
}

absl::StatusOr<ScoringFunc> ParseScoringFunc(const JsonFields& fields, ModelFamily family) {
  const bool is_v2 = family == ModelFamily::kDeepseekV2;
  ASSIGN_OR_RETURN(const std::string_view name,
                   fields.StringOr("scoring_func", is_v2 ? "softmax" : "sigmoid"));
  if (name == "softmax") {
    return ScoringFunc::kSoftmax;
  }
  if (name == "sigmoid") {
    return ScoringFunc::kSigmoid;
  }
  return fields.Unsupported("scoring_func", "\"softmax\" or \"sigmoid\"");
}

absl::StatusOr<TopkMethod> ParseTopkMethod(const JsonFields& fields, ModelFamily family) {
  const bool is_v2 = family == ModelFamily::kDeepseekV2;
  ASSIGN_OR_RETURN(const std::string_view name,
                   fields.StringOr("topk_method", is_v2 ? "greedy" : "noaux_tc"));
  if (name == "greedy") {
    return TopkMethod::kGreedy;
  }
  if (name == "group_limited_greedy") {
    return TopkMethod::kGroupLimitedGreedy;
  }
  if (name == "noaux_tc") {
    return TopkMethod::kNoauxTc;
  }
  return fields.Unsupported("topk_method", "\"greedy\", \"group_limited_greedy\" or \"noaux_tc\"");
}

absl::Status CheckExperts(const JsonFields& fields, const ModelConfig& config) {
  const int64_t num_layers = config.num_hidden_layers + config.num_nextn_predict_layers;
  if (num_layers * config.n_routed_experts > kMaxExpertsOfModel) {
    return fields.Unexpected("n_routed_experts",
                             absl::StrFormat("at most %d in all layers", kMaxExpertsOfModel));
  }
  if (config.n_routed_experts % config.n_group != 0) {
    return fields.Unexpected("n_group",
                             absl::StrFormat("a divisor of %d experts", config.n_routed_experts));
  }
  if (config.topk_group > config.n_group) {
    return fields.Unexpected("topk_group", absl::StrFormat("at most n_group (%d)", config.n_group));
  }
  const int64_t group_size = config.n_routed_experts / config.n_group;
  if (config.topk_method == TopkMethod::kNoauxTc && group_size < 2) {
    return fields.Unexpected("n_group", "groups of at least 2 experts");
  }
  const int64_t num_eligible = config.topk_method == TopkMethod::kGreedy
                                   ? config.n_routed_experts
                                   : config.topk_group * group_size;
  if (config.num_experts_per_tok > num_eligible) {
    return fields.Unexpected(
        "num_experts_per_tok",
        absl::StrFormat("at most the %d experts of the chosen groups", num_eligible));
  }
  return absl::OkStatus();
}

// A model without experts (n_routed_experts null or 0) has only dense layers; the other keys about
// experts then say nothing.
absl::Status ParseExperts(const JsonFields& fields, ModelConfig& config) {
  ASSIGN_OR_RETURN(config.n_routed_experts, fields.IntOrNull("n_routed_experts", {0, kMaxExperts}));
  if (config.n_routed_experts == 0) {
    return absl::OkStatus();
  }
  const bool is_v2 = config.family == ModelFamily::kDeepseekV2;
  const FieldRange<int64_t> group_range = {1, kMaxExperts};
  ASSIGN_OR_RETURN(config.moe_intermediate_size, fields.Int("moe_intermediate_size", kSizeRange));
  ASSIGN_OR_RETURN(config.n_shared_experts,
                   fields.IntOr("n_shared_experts", {0, kMaxSharedExperts}, 0));
  ASSIGN_OR_RETURN(config.num_experts_per_tok, fields.Int("num_experts_per_tok", {1, kMaxExperts}));
  // Only V2's class knows a model without groups.
  if (is_v2) {
    ASSIGN_OR_RETURN(config.n_group, fields.IntOr("n_group", group_range, 1));
    ASSIGN_OR_RETURN(config.topk_group, fields.IntOr("topk_group", group_range, 1));
  } else {
    ASSIGN_OR_RETURN(config.n_group, fields.Int("n_group", group_range));
    ASSIGN_OR_RETURN(config.topk_group, fields.Int("topk_group", group_range));
  }
  ASSIGN_OR_RETURN(config.first_k_dense_replace,
                   fields.IntOr("first_k_dense_replace", {0, kMaxLayers}, is_v2 ? 0 : 3));
  ASSIGN_OR_RETURN(config.moe_layer_freq, fields.IntOr("moe_layer_freq", {1, kMaxLayers}, 1));
  ASSIGN_OR_RETURN(config.norm_topk_prob, fields.BoolOr("norm_topk_prob", !is_v2));
  ASSIGN_OR_RETURN(
      const double scaling,
      fields.NumberOr("routed_scaling_factor", kRoutedScalingRange, is_v2 ? 1.0 : 2.5));
  config.routed_scaling_factor = static_cast<float>(scaling);
  ASSIGN_OR_RETURN(config.scoring_func, ParseScoringFunc(fields, config.family));
  ASSIGN_OR_RETURN(config.topk_method, ParseTopkMethod(fields, config.family));
  return CheckExperts(fields, config);
}

absl::StatusOr<DType> ParseDType(const JsonFields& fields) {
  ASSIGN_OR_RETURN(const std::string_view old_spelling, fields.StringOr("torch_dtype", "bfloat16"));
  ASSIGN_OR_RETURN(const std::string_view name, fields.StringOr("dtype", old_spelling));
  if (fields.Find("torch_dtype") != nullptr && name != old_spelling) {
    return fields.Unexpected("dtype", "the same as \"torch_dtype\"");
  }
  constexpr std::array kNames = {std::pair("bfloat16", DType::kBf16),
                                 std::pair("float16", DType::kF16),
                                 std::pair("float32", DType::kF32)};
  for (const auto& [known, dtype] : kNames) {
    if (name == known) {
      return dtype;
    }
  }
  return fields.Unsupported(fields.Find("dtype") == nullptr ? "torch_dtype" : "dtype",
                            "\"bfloat16\", \"float16\" or \"float32\"");
}

absl::Status ParseTokenIds(const JsonFields& fields, ModelConfig& config) {
  const FieldRange<int64_t> id_range = {0, config.vocab_size - 1};
  if (fields.Find("bos_token_id") != nullptr) {
    ASSIGN_OR_RETURN(const int64_t id, fields.Int("bos_token_id", id_range));
    config.bos_token_id = CheckedCast<int32_t>(id);
  }
  const boost::json::value* eos = fields.Find("eos_token_id");
  if (eos == nullptr) {
    return absl::OkStatus();
  }
  if (!eos->is_array()) {
    ASSIGN_OR_RETURN(const int64_t id, fields.Int("eos_token_id", id_range));
    config.eos_token_ids.push_back(CheckedCast<int32_t>(id));
    return absl::OkStatus();
  }
  for (const boost::json::value& item : eos->get_array()) {
    const int64_t* id = item.if_int64();
    if (id == nullptr || *id < 0 || *id > id_range.max) {
      return InvalidArgument("%s: expected integers from 0 to %d, found %s among them",
                             fields.PathOf("eos_token_id"),
                             id_range.max,
                             DescribeJson(item));
    }
    config.eos_token_ids.push_back(CheckedCast<int32_t>(*id));
  }
  return absl::OkStatus();
}

// ParseModelConfig with errors that do not name the file yet.
absl::StatusOr<ModelConfig> ParseFields(const boost::json::value& json) {
  if (!json.is_object()) {
    return InvalidArgument("expected an object, found %s", DescribeJson(json));
  }
  const JsonFields fields(json.get_object(), "");
  ModelConfig config;
  ASSIGN_OR_RETURN(config.family, ParseFamily(fields));
  ASSIGN_OR_RETURN(config.model_type, fields.String("model_type"));
  RETURN_IF_ERROR(CheckFixedFeatures(fields));
  RETURN_IF_ERROR(ParseSizes(fields, config));
  RETURN_IF_ERROR(ParseExperts(fields, config));
  ASSIGN_OR_RETURN(const double eps, fields.NumberOr("rms_norm_eps", kEpsRange, 1e-6));
  config.rms_norm_eps = static_cast<float>(eps);
  ASSIGN_OR_RETURN(const RopeConfig rope, ParseRopeConfig(json.get_object()));
  config.rope_theta = rope.theta;
  config.rope_scaling = rope.scaling;
  RETURN_IF_ERROR(ParseTokenIds(fields, config));
  ASSIGN_OR_RETURN(config.tie_word_embeddings, fields.BoolOr("tie_word_embeddings", false));
  ASSIGN_OR_RETURN(config.dtype, ParseDType(fields));
  ASSIGN_OR_RETURN(config.quantization, ParseFp8Quantization(json.get_object()));
  return config;
}

}  // namespace

bool ModelConfig::IsMoeLayer(int64_t layer) const {
  if (n_routed_experts == 0) {
    return false;
  }
  return layer >= num_hidden_layers ||
         (layer >= first_k_dense_replace && layer % moe_layer_freq == 0);
}

absl::StatusOr<ModelConfig> ParseModelConfig(const boost::json::value& json) {
  absl::StatusOr<ModelConfig> config = ParseFields(json);
  return config.ok() ? config : Annotate(config.status(), "config.json");
}

absl::StatusOr<ModelConfig> ReadModelConfig(const std::string& path) {
  const std::string file = IsFolder(path) ? path + "/config.json" : path;
  ASSIGN_OR_RETURN(const boost::json::value json, ParseJsonFile(file, kMaxFileBytes));
  absl::StatusOr<ModelConfig> config = ParseFields(json);
  return config.ok() ? config : Annotate(config.status(), file);
}

}  // namespace hadal
