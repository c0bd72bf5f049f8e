// The shape rules of every op, in one place: symbolic dimensions are bound to the first argument
// that has them and all others are held against it.

#include "base/check.h"
#include "kernels/check_finite.h"
#include "kernels/embedding.h"
#include "kernels/gather_rows.h"
#include "kernels/linear.h"
#include "kernels/mla_attention.h"
#include "kernels/mla_project.h"
#include "kernels/mlp.h"
#include "kernels/moe_experts.h"
#include "kernels/moe_route.h"
#include "kernels/quantization/panels.h"
#include "kernels/rms_norm.h"
#include "kernels/rope.h"
#include "kernels/sample.h"

namespace hadal {
namespace {

void ValidateAngles(const RopeAngles& angles, int64_t num_tokens, int64_t rope_dim) {
  CHECK_EQ(rope_dim % 2, 0);
  CHECK_EQ(angles.cos.extent(0), num_tokens);
  CHECK_EQ(angles.sin.extent(0), num_tokens);
  CHECK_EQ(angles.cos.extent(1), rope_dim / 2);
  CHECK_EQ(angles.sin.extent(1), rope_dim / 2);
}

}  // namespace

void ValidateMlp(const MlpWeights& weights, int64_t hidden_size) {
  const int64_t intermediate_size = weights.gate_proj.rows;
  ValidateWeight(weights.gate_proj, intermediate_size, hidden_size);
  ValidateWeight(weights.up_proj, intermediate_size, hidden_size);
  ValidateWeight(weights.down_proj, hidden_size, intermediate_size);
  CHECK_EQ(IsQuantized(weights.gate_proj.format), IsQuantized(weights.up_proj.format));
}

void ValidateCache(const LatentCache& cache, int64_t kv_lora_rank, int64_t row_width) {
  CHECK(cache.dtype == DType::kF32 || cache.dtype == DType::kBf16 || HasLatentScales(cache.dtype));
  CHECK_GT(cache.block_size, 0);
  CHECK_EQ(cache.row_width, row_width);
  CHECK_EQ(cache.kv_lora_rank, kv_lora_rank);
  CHECK(cache.rows != nullptr || cache.num_blocks == 0);
}

void Validate(const EmbeddingArgs& args) {
  CHECK_EQ(args.y.extent(0), args.token_ids.extent(0));
  ValidateWeight(args.table, args.table.rows, args.y.extent(1));
  CHECK(!IsQuantized(args.table.format));
}

void Validate(const RmsNormArgs& args) {
  CHECK(args.x.extents == args.y.extents);
  CHECK_EQ(args.weight.extent(0), args.x.extent(1));
  CHECK_GT(args.epsilon, 0.0F);
}

void Validate(const LinearArgs& args) {
  CHECK_EQ(args.y.extent(0), args.x.extent(0));
  ValidateWeight(args.weight, args.y.extent(1), args.x.extent(1));
}

void Validate(const MlpArgs& args) {
  CHECK(args.x.extents == args.y.extents);
  ValidateMlp(args.weights, args.x.extent(1));
}

void Validate(const MlaProjectArgs& args) {
  const MlaProjectWeights& weights = args.weights;
  const int64_t num_tokens = args.x.extent(0);
  const int64_t hidden_size = args.x.extent(1);
  const int64_t kv_lora_rank = weights.kv_a_layernorm.extent(0);
  const int64_t rope_dim = weights.kv_a_proj_with_mqa.rows - kv_lora_rank;
  const int64_t q_lora_rank = weights.q_a_layernorm.extent(0);
  if (q_lora_rank > 0) {
    ValidateWeight(weights.q_a_proj, q_lora_rank, hidden_size);
  }
  const WeightMatrix& q_proj = q_lora_rank > 0 ? weights.q_a_proj : weights.q_b_proj;
  CHECK_EQ(IsQuantized(q_proj.format), IsQuantized(weights.kv_a_proj_with_mqa.format));
  ValidateWeight(weights.q_b_proj,
                 args.q.extent(1) * args.q.extent(2),
                 q_lora_rank > 0 ? q_lora_rank : hidden_size);
  ValidateWeight(weights.kv_a_proj_with_mqa, kv_lora_rank + rope_dim, hidden_size);
  CHECK_LT(rope_dim, args.q.extent(2));
  CHECK_EQ(args.q.extent(0), num_tokens);
  CHECK_EQ(args.q.strides[1], args.q.extent(2));
  CHECK_EQ(args.slots.extent(0), num_tokens);
  CHECK_GT(args.rms_norm_eps, 0.0F);
  ValidateAngles(args.angles, num_tokens, rope_dim);
  ValidateCache(args.cache, kv_lora_rank, kv_lora_rank + rope_dim);
}

void Validate(const MlaAttentionArgs& args) {
  const int64_t num_tokens = args.q.extent(0);
  const int64_t num_heads = args.q.extent(1);
  const int64_t num_sequences = args.block_tables.extent(0);
  const int64_t rope_dim = args.cache.row_width - args.kv_lora_rank;
  const int64_t nope_dim = args.q.extent(2) - rope_dim;
  CHECK_GT(args.kv_lora_rank, 0);
  CHECK_GT(nope_dim, 0);
  CHECK_EQ(args.query_starts.extent(0), num_sequences + 1);
  CHECK_EQ(args.positions.extent(0), num_tokens);
  CHECK_EQ(args.out.extent(0), num_tokens);
  CHECK_EQ(args.out.extent(1), num_heads);
  CHECK_EQ(args.out.extent(2), args.v_head_dim);
  if (args.kv_b_proj.is_quantized()) {
    const auto validate_part = [num_heads](const WeightMatrix& part, int64_t rows, int64_t cols) {
      CHECK(IsQuantized(part.format));
      ValidateWeight(part, num_heads * RoundUpToPanel(rows), cols);
    };
    validate_part(args.kv_b_proj.keys, args.kv_lora_rank, nope_dim);
    validate_part(args.kv_b_proj.values, args.v_head_dim, args.kv_lora_rank);
    CHECK(args.form != MlaForm::kMaterialised);
  } else {
    CHECK(!IsQuantized(args.kv_b_proj.whole.format));
    ValidateWeight(
        args.kv_b_proj.whole, num_heads * (nope_dim + args.v_head_dim), args.kv_lora_rank);
  }
  ValidateCache(args.cache, args.kv_lora_rank, args.kv_lora_rank + rope_dim);
}

void Validate(const MoeRouteArgs& args) {
  const int64_t num_experts = args.gate.rows;
  const int64_t top_k = args.expert_ids.extent(1);
  ValidateWeight(args.gate, num_experts, args.x.extent(1));
  CHECK(!IsQuantized(args.gate.format));
  CHECK_EQ(args.expert_ids.extent(0), args.x.extent(0));
  CHECK(args.weights.extents == args.expert_ids.extents);
  CHECK(args.topk_method != TopkMethod::kNoauxTc ||
        args.e_score_correction_bias.extent(0) == num_experts);
  CHECK_GT(args.n_group, 0);
  CHECK_EQ(num_experts % args.n_group, 0);
  CHECK(args.topk_group > 0 && args.topk_group <= args.n_group);
  CHECK_GT(top_k, 0);
  CHECK_LE(top_k,
           num_experts / args.n_group *
               (args.topk_method == TopkMethod::kGreedy ? args.n_group : args.topk_group));
}

void Validate(const MoeExpertsArgs& args) {
  CHECK(args.x.extents == args.y.extents);
  CHECK_EQ(args.expert_ids.extent(0), args.x.extent(0));
  CHECK(args.weights.extents == args.expert_ids.extents);
  CHECK_GT(args.experts.extent(0), 0);
  ValidateMlp(args.experts(0), args.x.extent(1));
  if (args.shared_experts.has_value()) {
    ValidateMlp(*args.shared_experts, args.x.extent(1));
  }
}

void Validate(const GatherRowsArgs& args) {
  CHECK_EQ(args.y.extent(0), args.rows.extent(0));
  CHECK_EQ(args.y.extent(1), args.x.extent(1));
}

void Validate(const CheckFiniteArgs& args) {
  CHECK_EQ(args.is_finite.extent(0), args.x.extent(0));
}

void Validate(const SampleArgs& args) {
  CHECK_EQ(args.token_ids.extent(0), args.choices.extent(0));
  CHECK_GT(args.logits.extent(1), 0);
}

}  // namespace hadal
