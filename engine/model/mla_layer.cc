#include "engine/model/decoder_layer.h"

namespace hadal {
namespace {

// DeepSeek's published code gives the norms of both latents this epsilon, whatever rms_norm_eps
// says (it is the default of their RMSNorm class; transformers does the same).
constexpr float kLatentNormEpsilon = 1e-6F;

}  // namespace

void MlaLayer(const LayerWeights& weights,
              const LatentCache& cache,
              const Step& step,
              const TensorView<const float, 2>& normed,
              const TensorView<float, 2>& x) {
  const ModelConfig& config = step.config;
  ScratchArena& scratch = step.context.scratch;
  const ScratchScope scope(scratch);
  const int64_t num_tokens = step.num_tokens();
  const int64_t num_heads = config.num_attention_heads;
  const auto q = scratch.Allocate<float>(num_tokens, num_heads, config.qk_head_dim());
  const auto attended = scratch.Allocate<float>(num_tokens, num_heads, config.v_head_dim);

  step.kernels.mla_project({.x = normed,
                            .weights = weights.mla_project,
                            .rms_norm_eps = kLatentNormEpsilon,
                            .angles = step.angles,
                            .slots = step.slots,
                            .cache = cache,
                            .q = q},
                           step.context);
  step.kernels.mla_attention({.q = q,
                              .cache = cache,
                              .query_starts = step.query_starts,
                              .block_tables = step.block_tables,
                              .positions = step.positions,
                              .kv_b_proj = weights.kv_b_proj,
                              .kv_lora_rank = config.kv_lora_rank,
                              .v_head_dim = config.v_head_dim,
                              .softmax_scale = step.softmax_scale,
                              .form = step.mla_form,
                              .out = attended},
                             step.context);
  step.kernels.linear({.x = MakeView(attended.data, num_tokens, num_heads * config.v_head_dim),
                       .weight = weights.o_proj,
                       .output = Output::kAdd,
                       .y = x},
                      step.context);
}

}  // namespace hadal
