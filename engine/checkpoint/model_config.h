#pragma once

// A model's config.json, checked. Field names are the file's own words, so that paper, config and
// code grep alike.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <boost/json/value.hpp>

#include "base/dtype.h"
#include "base/status.h"
#include "engine/checkpoint/fp8_quantization.h"
#include "engine/checkpoint/rope_scaling.h"
#include "kernels/moe_route.h"

namespace hadal {

enum class ModelFamily : int8_t { kDeepseekV2, kDeepseekV3, kKimiK2 };

/// Every size is positive, bounded (sums of products of sizes over the whole model fit int64_t) and
/// consistent with the others unless said otherwise. Const after parsing.
struct ModelConfig {
  ModelFamily family = ModelFamily::kDeepseekV2;
  std::string model_type;

  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;      // of dense layers
  int64_t moe_intermediate_size = 0;  // of one expert; 0 when n_routed_experts is 0
  int64_t num_hidden_layers = 0;
  int64_t num_nextn_predict_layers = 0;  // MTP layers, stored at ids >= num_hidden_layers; may be 0

  int64_t num_attention_heads = 0;
  int64_t q_lora_rank = 0;  // 0: queries come from one matrix (null in the file)
  int64_t kv_lora_rank = 0;
  int64_t qk_nope_head_dim = 0;
  int64_t qk_rope_head_dim = 0;  // even
  int64_t v_head_dim = 0;

  int64_t n_routed_experts = 0;     // 0: all layers are dense
  int64_t n_shared_experts = 0;     // 0: none
  int64_t num_experts_per_tok = 0;  // 0 when n_routed_experts is 0
  int64_t n_group = 1;
  int64_t topk_group = 1;
  int64_t first_k_dense_replace = 0;  // may be 0
  int64_t moe_layer_freq = 1;
  bool norm_topk_prob = false;
  float routed_scaling_factor = 1;
  ScoringFunc scoring_func = ScoringFunc::kSoftmax;
  TopkMethod topk_method = TopkMethod::kGreedy;

  float rms_norm_eps = 1e-6F;
  double rope_theta = 10000;
  std::optional<YarnScaling> rope_scaling;
  int64_t max_position_embeddings = 0;

  std::optional<int32_t> bos_token_id;
  std::vector<int32_t> eos_token_ids;  // may be empty
  bool tie_word_embeddings = false;
  DType dtype = DType::kBf16;  // of weights that are not quantised
  std::optional<Fp8BlockQuantization> quantization;

  /// Whether `layer` has routed experts. MTP layers, ids from num_hidden_layers on, always do.
  [[nodiscard]] bool IsMoeLayer(int64_t layer) const;

  /// Width of one head's query and key: the part without and the part with rotary embedding.
  [[nodiscard]] int64_t qk_head_dim() const { return qk_nope_head_dim + qk_rope_head_dim; }

  /// Elements of one token's cache row in one layer: the normed latent, then the roped key.
  [[nodiscard]] int64_t latent_row_width() const { return kv_lora_rank + qk_rope_head_dim; }
};

/// The config in a parsed config.json. Keys that real files leave out get the defaults of the
/// model's transformers class; keys that define shapes are required. InvalidArgument names the key,
/// what was expected and what was found; Unimplemented names a feature outside the family (another
/// model_type, quantisation, activation, rope type).
absl::StatusOr<ModelConfig> ParseModelConfig(const boost::json::value& json);

/// ParseModelConfig of the file `path`, or of `path`/config.json when `path` is a folder. Errors
/// name the file; NotFound when there is none.
absl::StatusOr<ModelConfig> ReadModelConfig(const std::string& path);

}  // namespace hadal
