#include "engine/checkpoint/weight_map.h"

#include <utility>

#include "base/check.h"

namespace hadal {
namespace {

constexpr std::string_view kScaleSuffix = "_scale_inv";

using Shape = std::vector<int64_t>;

// Appends the tensors of one layer, or of the model around the layers, under a name prefix.
class TensorLister {
 public:
  TensorLister(const ModelConfig& config, std::vector<ExpectedTensor>& tensors)
      : config_(config), tensors_(tensors) {}

  void set_layer(int64_t layer) {
    layer_ = layer;
    prefix_ = "model.layers." + std::to_string(layer) + ".";
  }
  void set_group(TensorGroup group) { group_ = group; }

  void Add(std::string_view name, Shape shape, TensorRole role) {
    tensors_.push_back({.name = prefix_ + std::string(name),
                        .shape = std::move(shape),
                        .role = role,
                        .group = group_,
                        .presence = TensorPresence::kRequired,
                        .layer = layer_});
  }

  void AddNorm(std::string_view name, int64_t width) { Add(name, {width}, TensorRole::kNorm); }

  // A [vocab_size, hidden_size] table.
  void AddTable(std::string_view name, TensorGroup group, TensorPresence presence) {
    Add(name, {config_.vocab_size, config_.hidden_size}, TensorRole::kMatrix);
    tensors_.back().group = group;
    tensors_.back().presence = presence;
  }

  // A matrix that is quantised, and has a scale, when the config says so.
  void AddQuantizable(std::string_view name, int64_t num_rows, int64_t num_cols) {
    if (!config_.quantization) {
      Add(name, {num_rows, num_cols}, TensorRole::kMatrix);
      return;
    }
    const int64_t block_rows = config_.quantization->block_rows;
    const int64_t block_cols = config_.quantization->block_cols;
    Add(name, {num_rows, num_cols}, TensorRole::kFp8Matrix);
    Add(BlockScaleName(name),
        {(num_rows + block_rows - 1) / block_rows, (num_cols + block_cols - 1) / block_cols},
        TensorRole::kBlockScale);
  }

  // A SwiGLU block.
  void AddMlp(const std::string& name, int64_t width) {
    AddQuantizable(name + ".gate_proj.weight", width, config_.hidden_size);
    AddQuantizable(name + ".up_proj.weight", width, config_.hidden_size);
    AddQuantizable(name + ".down_proj.weight", config_.hidden_size, width);
  }

 private:
  const ModelConfig& config_;
  std::vector<ExpectedTensor>& tensors_;
  std::string prefix_;
  int64_t layer_ = ExpectedTensor::kNoLayer;
  TensorGroup group_ = TensorGroup::kTrunk;
};

void ListAttention(const ModelConfig& config, TensorLister& lister) {
  const int64_t num_heads = config.num_attention_heads;
  const int64_t query_width = num_heads * config.qk_head_dim();
  if (config.q_lora_rank == 0) {
    lister.AddQuantizable("self_attn.q_proj.weight", query_width, config.hidden_size);
  } else {
    lister.AddQuantizable("self_attn.q_a_proj.weight", config.q_lora_rank, config.hidden_size);
    lister.AddNorm("self_attn.q_a_layernorm.weight", config.q_lora_rank);
    lister.AddQuantizable("self_attn.q_b_proj.weight", query_width, config.q_lora_rank);
  }
  lister.AddQuantizable(
      "self_attn.kv_a_proj_with_mqa.weight", config.latent_row_width(), config.hidden_size);
  lister.AddNorm("self_attn.kv_a_layernorm.weight", config.kv_lora_rank);
  lister.AddQuantizable("self_attn.kv_b_proj.weight",
                        num_heads * (config.qk_nope_head_dim + config.v_head_dim),
                        config.kv_lora_rank);
  lister.AddQuantizable(
      "self_attn.o_proj.weight", config.hidden_size, num_heads * config.v_head_dim);
}

void ListMoe(const ModelConfig& config, TensorLister& lister) {
  lister.Add("mlp.gate.weight", {config.n_routed_experts, config.hidden_size}, TensorRole::kMatrix);
  if (config.topk_method == TopkMethod::kNoauxTc) {
    lister.Add(
        "mlp.gate.e_score_correction_bias", {config.n_routed_experts}, TensorRole::kGateBias);
  }
  if (config.n_shared_experts > 0) {
    lister.AddMlp("mlp.shared_experts", config.n_shared_experts * config.moe_intermediate_size);
  }
  lister.set_group(TensorGroup::kRoutedExperts);
  for (int64_t expert = 0; expert < config.n_routed_experts; ++expert) {
    lister.AddMlp("mlp.experts." + std::to_string(expert), config.moe_intermediate_size);
  }
  lister.set_group(TensorGroup::kTrunk);
}

// What an MTP layer has beyond a decoder layer.
void ListMtpExtras(const ModelConfig& config, TensorLister& lister) {
  lister.AddTable("embed_tokens.weight", TensorGroup::kEmbedding, TensorPresence::kCopy);
  lister.AddNorm("enorm.weight", config.hidden_size);
  lister.AddNorm("hnorm.weight", config.hidden_size);
  lister.Add("eh_proj.weight", {config.hidden_size, 2 * config.hidden_size}, TensorRole::kMatrix);
  lister.AddNorm("shared_head.norm.weight", config.hidden_size);
  lister.AddTable("shared_head.head.weight", TensorGroup::kHead, TensorPresence::kCopy);
}

void ListLayer(const ModelConfig& config, int64_t layer, TensorLister& lister) {
  lister.set_layer(layer);
  if (layer >= config.num_hidden_layers) {
    ListMtpExtras(config, lister);
  }
  lister.AddNorm("input_layernorm.weight", config.hidden_size);
  ListAttention(config, lister);
  lister.AddNorm("post_attention_layernorm.weight", config.hidden_size);
  if (config.IsMoeLayer(layer)) {
    ListMoe(config, lister);
  } else {
    lister.AddMlp("mlp", config.intermediate_size);
  }
}

DType PublishedDType(const ModelConfig& config, TensorRole role) {
  switch (role) {
    case TensorRole::kFp8Matrix:
      return DType::kFp8E4m3;
    case TensorRole::kMatrix:
    case TensorRole::kNorm:
      return config.dtype;
    case TensorRole::kGateBias:
    case TensorRole::kBlockScale:
      return DType::kF32;
  }
  CHECK(false);
}

}  // namespace

int64_t ExpectedTensor::num_elements() const {
  int64_t product = 1;
  for (const int64_t extent : shape) {
    product *= extent;
  }
  return product;
}

std::vector<ExpectedTensor> ListExpectedTensors(const ModelConfig& config) {
  std::vector<ExpectedTensor> tensors;
  TensorLister lister(config, tensors);
  lister.AddTable("model.embed_tokens.weight", TensorGroup::kEmbedding, TensorPresence::kRequired);
  lister.AddTable("lm_head.weight",
                  TensorGroup::kHead,
                  config.tie_word_embeddings ? TensorPresence::kCopy : TensorPresence::kRequired);
  lister.AddNorm("model.norm.weight", config.hidden_size);
  const int64_t num_layers = config.num_hidden_layers + config.num_nextn_predict_layers;
  for (int64_t layer = 0; layer < num_layers; ++layer) {
    ListLayer(config, layer, lister);
  }
  return tensors;
}

bool IsIgnoredTensor(std::string_view name) {
  return name.ends_with(".rotary_emb.inv_freq");
}

std::string BlockScaleName(std::string_view matrix_name) {
  return std::string(matrix_name) + std::string(kScaleSuffix);
}

std::string_view MatrixNameOfScale(std::string_view scale_name) {
  CHECK(scale_name.ends_with(kScaleSuffix));
  return scale_name.substr(0, scale_name.size() - kScaleSuffix.size());
}

std::map<DType, DTypeTotal> PublishedTotals(const ModelConfig& config, TableCopies copies) {
  std::map<DType, DTypeTotal> totals;
  for (const ExpectedTensor& tensor : ListExpectedTensors(config)) {
    if (tensor.presence == TensorPresence::kCopy && copies == TableCopies::kLeftOut) {
      continue;
    }
    const DType dtype = PublishedDType(config, tensor.role);
    totals[dtype].num_elements += tensor.num_elements();
    totals[dtype].num_bytes += tensor.num_elements() * SizeOf(dtype);
  }
  return totals;
}

}  // namespace hadal
