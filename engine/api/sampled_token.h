#pragma once

#include <vector>

#include "base/token_id.h"

namespace hadal {

/// Where there is none.
inline constexpr TokenId kNoToken = -1;

/// A token and the natural logarithm of its probability.
struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0;
};

/// A chosen token. Log-probabilities are those of the model's own distribution, before bias,
/// penalties, temperature and cuts.
struct SampledToken {
  TokenId token = 0;
  float logprob = 0;                            // only when SamplingParams::num_logprobs >= 0
  std::vector<TokenLogprob> top_logprobs = {};  // num_logprobs of them, best first
};

}  // namespace hadal
