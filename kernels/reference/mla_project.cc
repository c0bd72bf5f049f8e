#include "kernels/reference/ops.h"

namespace hadal::reference {
namespace {

// q = q_b_proj · RMSNorm(q_a_proj · x), or q_b_proj · x without a low rank.
void ProjectQueries(const MlaProjectArgs& args, ExecutionContext& context) {
  const MlaProjectWeights& weights = args.weights;
  const int64_t num_tokens = args.x.extent(0);
  const TensorView<float, 2> q = {
      args.q.data, {num_tokens, weights.q_b_proj.rows}, {args.q.strides[0], 1}};
  const int64_t q_lora_rank = weights.q_a_layernorm.extent(0);
  if (q_lora_rank == 0) {
    Linear({.x = args.x, .weight = weights.q_b_proj, .output = Output::kStore, .y = q}, context);
    return;
  }
  const auto latent = context.scratch.Allocate<float>(num_tokens, q_lora_rank);
  Linear({.x = args.x, .weight = weights.q_a_proj, .output = Output::kStore, .y = latent}, context);
  RmsNorm({.x = latent, .weight = weights.q_a_layernorm, .epsilon = args.rms_norm_eps, .y = latent},
          context);
  Linear({.x = latent, .weight = weights.q_b_proj, .output = Output::kStore, .y = q}, context);
}

}  // namespace

void MlaProject(const MlaProjectArgs& args, ExecutionContext& context) {
  const ScratchScope scope(context.scratch);
  const MlaProjectWeights& weights = args.weights;
  const int64_t num_tokens = args.x.extent(0);
  const int64_t kv_lora_rank = weights.kv_a_layernorm.extent(0);
  const auto rope_dim = static_cast<size_t>(args.cache.row_width - kv_lora_rank);

  // 1. Queries, with the last rope_dim elements of each head rotated.
  ProjectQueries(args, context);
  for (int64_t t = 0; t < num_tokens; ++t) {
    for (int64_t h = 0; h < args.q.extent(1); ++h) {
      RotateInterleaved(
          args.angles.cos.Row(t), args.angles.sin.Row(t), args.q.Row(t, h).last(rope_dim));
    }
  }

  // 2. The latent, normed, and the shared key, rotated.
  const auto kv = context.scratch.Allocate<float>(num_tokens, args.cache.row_width);
  Linear({.x = args.x, .weight = weights.kv_a_proj_with_mqa, .output = Output::kStore, .y = kv},
         context);
  TensorView<float, 2> latent = kv;
  latent.extents[1] = kv_lora_rank;
  RmsNorm(
      {.x = latent, .weight = weights.kv_a_layernorm, .epsilon = args.rms_norm_eps, .y = latent},
      context);

  // 3. Both go to the token's cache row.
  for (int64_t t = 0; t < num_tokens; ++t) {
    RotateInterleaved(args.angles.cos.Row(t), args.angles.sin.Row(t), kv.Row(t).last(rope_dim));
    StoreRow(kv.Row(t), args.slots(t), args.cache);
  }
}

}  // namespace hadal::reference
