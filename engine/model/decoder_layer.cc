#include "engine/model/decoder_layer.h"

namespace hadal {

void DecoderLayer(const LayerWeights& weights,
                  const LatentCache& cache,
                  const Step& step,
                  const TensorView<float, 2>& x) {
  const ScratchScope scope(step.context.scratch);
  const float eps = step.config.rms_norm_eps;
  const auto normed = step.context.scratch.Allocate<float>(x.extent(0), x.extent(1));

  step.kernels.rms_norm({.x = x, .weight = weights.input_layernorm, .epsilon = eps, .y = normed},
                        step.context);
  MlaLayer(weights, cache, step, normed, x);

  step.kernels.rms_norm(
      {.x = x, .weight = weights.post_attention_layernorm, .epsilon = eps, .y = normed},
      step.context);
  if (const auto* moe = std::get_if<MoeWeights>(&weights.mlp)) {
    MoeLayer(*moe, step, normed, x);
  } else {
    step.kernels.mlp({.x = normed, .weights = std::get<MlpWeights>(weights.mlp), .y = x},
                     step.context);
  }
}

}  // namespace hadal
