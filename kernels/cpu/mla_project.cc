#include "kernels/cpu/linear.h"
#include "kernels/cpu/ops.h"

namespace hadal::cpu {
namespace {

void ProjectQueries(const VectorKernels& vector,
                    const MlaProjectArgs& args,
                    const InputRows& x,
                    ExecutionContext& context) {
  const MlaProjectWeights& weights = args.weights;
  const int64_t num_tokens = args.x.extent(0);
  const TensorView<float, 2> q = {
      args.q.data, {num_tokens, weights.q_b_proj.rows}, {args.q.strides[0], 1}};
  const int64_t q_lora_rank = weights.q_a_layernorm.extent(0);
  if (q_lora_rank == 0) {
    return Multiply(vector, x, weights.q_b_proj, Output::kStore, q, context.pool);
  }
  const auto latent = context.scratch.Allocate<float>(num_tokens, q_lora_rank);
  Multiply(vector, x, weights.q_a_proj, Output::kStore, latent, context.pool);
  RmsNorm(vector,
          {.x = latent, .weight = weights.q_a_layernorm, .epsilon = args.rms_norm_eps, .y = latent},
          context);
  const InputRows input = MakeInput(vector, latent, weights.q_b_proj, context);
  Multiply(vector, input, weights.q_b_proj, Output::kStore, q, context.pool);
}

}  // namespace

void MlaProject(const VectorKernels& vector,
                const MlaProjectArgs& args,
                ExecutionContext& context) {
  const ScratchScope scope(context.scratch);
  const MlaProjectWeights& weights = args.weights;
  const int64_t num_tokens = args.x.extent(0);
  const int64_t kv_lora_rank = weights.kv_a_layernorm.extent(0);
  const auto rope_dim = static_cast<size_t>(args.cache.row_width - kv_lora_rank);

  const InputRows x = MakeInput(vector, args.x, weights.kv_a_proj_with_mqa, context);
  ProjectQueries(vector, args, x, context);
  const auto kv = context.scratch.Allocate<float>(num_tokens, args.cache.row_width);
  Multiply(vector, x, weights.kv_a_proj_with_mqa, Output::kStore, kv, context.pool);
  TensorView<float, 2> latent = kv;
  latent.extents[1] = kv_lora_rank;
  RmsNorm(
      vector,
      {.x = latent, .weight = weights.kv_a_layernorm, .epsilon = args.rms_norm_eps, .y = latent},
      context);
  const auto rotate_and_store = [&](int64_t begin, int64_t end, int32_t /*worker*/) {
    for (int64_t t = begin; t < end; ++t) {
      const auto cos = args.angles.cos.Row(t);
      const auto sin = args.angles.sin.Row(t);
      for (int64_t h = 0; h < args.q.extent(1); ++h) {
        RotateInterleaved(cos, sin, args.q.Row(t, h).last(rope_dim));
      }
      RotateInterleaved(cos, sin, kv.Row(t).last(rope_dim));
      StoreRow(kv.Row(t), args.slots(t), args.cache);
    }
  };
  context.pool.ParallelFor(num_tokens, 1, rotate_and_store);
}

}  // namespace hadal::cpu
