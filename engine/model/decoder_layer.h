#pragma once

#include "engine/model/step.h"
#include "engine/model/weights.h"

namespace hadal {

/// One pre-norm decoder layer, in place on the residual stream [num_tokens, hidden_size]:
///   x += MlaAttention(RMSNorm(x)); x += Mlp or Moe(RMSNorm(x))
/// Source: DeepSeek-V2 (arXiv:2405.04434) section 2; DeepSeek-V3 (arXiv:2412.19437) section 2.1.
void DecoderLayer(const LayerWeights& weights,
                  const LatentCache& cache,
                  const Step& step,
                  const TensorView<float, 2>& x);

/// x += o_proj · attention of `normed`; writes the tokens' rows of `cache`.
void MlaLayer(const LayerWeights& weights,
              const LatentCache& cache,
              const Step& step,
              const TensorView<const float, 2>& normed,
              const TensorView<float, 2>& x);

/// x += routed experts + shared experts of `normed`.
void MoeLayer(const MoeWeights& weights,
              const Step& step,
              const TensorView<const float, 2>& normed,
              const TensorView<float, 2>& x);

}  // namespace hadal
