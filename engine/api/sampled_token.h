#pragma once

#include <cstdint>
#include <vector>

#include "base/token_id.h"

namespace hadal {

/// How a token came to be chosen in its step.
enum class TokenOrigin : int8_t {
  kSampled,  // behind known tokens
  kDraft,    // behind a draft that came true: it took no step of its own
};

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
