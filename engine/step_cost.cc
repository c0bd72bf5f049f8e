#include "engine/step_cost.h"

#include <algorithm>
#include <numeric>

#include "engine/checkpoint/model_summary.h"

namespace hadal {

void StepCost::Add(const WeightMatrix& matrix, Size& size) {
  size.num_elements += matrix.rows * matrix.cols;
  size.num_bytes += SizeBytes(matrix);
}

StepCost::StepCost(const ModelConfig& config, const Weights& weights, DType cache_dtype)
    : n_routed_experts_(config.n_routed_experts),
      attention_elements_(config.num_hidden_layers * config.num_attention_heads *
                          (2 * config.kv_lora_rank + config.qk_rope_head_dim)),
      cache_token_bytes_(CacheBytesPerToken(config, cache_dtype)) {
  const auto add_mlp = [](const MlpWeights& mlp, Size& size) {
    Add(mlp.gate_proj, size);
    Add(mlp.up_proj, size);
    Add(mlp.down_proj, size);
  };
  for (const LayerWeights& layer : weights.layers) {
    if (config.q_lora_rank > 0) {
      Add(layer.mla_project.q_a_proj, layers_);
    }
    Add(layer.mla_project.q_b_proj, layers_);
    Add(layer.mla_project.kv_a_proj_with_mqa, layers_);
    if (layer.kv_b_proj.is_quantized()) {
      Add(layer.kv_b_proj.keys, layers_);
      Add(layer.kv_b_proj.values, layers_);
    } else {
      Add(layer.kv_b_proj.whole, layers_);
    }
    Add(layer.o_proj, layers_);
    if (const auto* moe = std::get_if<MoeWeights>(&layer.mlp)) {
      ++num_moe_layers_;
      Add(moe->gate, layers_);
      if (moe->shared_experts.has_value()) {
        add_mlp(*moe->shared_experts, layers_);
      }
      expert_ = {};  // all have one size
      add_mlp(moe->experts.front(), expert_);
    } else {
      add_mlp(std::get<MlpWeights>(layer.mlp), layers_);
    }
  }
  Add(weights.lm_head, head_);
}

void StepCost::Estimate(const Work& work, StepStats& stats) const {
  const std::span<const int32_t> experts = work.expert_tokens;
  const int64_t num_active = std::ssize(experts) - std::count(experts.begin(), experts.end(), 0);
  const int64_t num_expert_tokens = std::accumulate(experts.begin(), experts.end(), int64_t{0});
  const auto multiply_adds = [](int64_t rows, int64_t elements) {
    return static_cast<double>(rows) * static_cast<double>(elements);
  };
  stats.num_moe_layers = num_moe_layers_;
  stats.n_routed_experts = n_routed_experts_;
  stats.expert_tokens.assign(experts.begin(), experts.end());
  stats.num_active_experts = num_active;
  stats.context_tokens = work.context_tokens;
  stats.attended_tokens = work.attended_tokens;
  stats.attendable_tokens = work.attended_tokens;  // attention is dense
  stats.num_logits_rows = work.num_logits_rows;
  stats.flops = 2 * (multiply_adds(work.num_tokens, layers_.num_elements) +
                     multiply_adds(num_expert_tokens, expert_.num_elements) +
                     multiply_adds(work.num_logits_rows, head_.num_elements) +
                     multiply_adds(work.attended_tokens, attention_elements_));
  stats.weight_bytes = layers_.num_bytes + num_active * expert_.num_bytes +
                       (work.num_logits_rows > 0 ? head_.num_bytes : 0);
  stats.total_weight_bytes =
      layers_.num_bytes + std::ssize(experts) * expert_.num_bytes + head_.num_bytes;
  stats.cache_bytes = work.context_tokens * cache_token_bytes_;
}

}  // namespace hadal
