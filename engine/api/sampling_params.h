#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/token_id.h"

namespace hadal {

/// How the next token is chosen from logits. Defaults sample from the model's own distribution.
struct SamplingParams {
  float temperature = 1;         // >= 0; 0 takes the highest logit
  int32_t top_k = 0;             // keep the k highest; 0 keeps all
  float top_p = 1;               // (0, 1]: keep the fewest tokens that hold this much probability
  float min_p = 0;               // [0, 1]: keep tokens with at least this share of the highest
  float presence_penalty = 0;    // [-2, 2]: taken off logits of tokens generated before
  float frequency_penalty = 0;   // [-2, 2]: the same, for each time
  float repetition_penalty = 1;  // > 0: divides positive and multiplies negative logits of tokens
                                 // that stand in the prompt or were generated
  std::vector<std::pair<TokenId, float>> logit_bias = {};  // added to logits; each in [-100, 100]
  int64_t min_tokens = 0;                      // >= 0: before so many tokens are generated …
  std::vector<TokenId> ending_token_ids = {};  // … none of these can be chosen; fewer than all
  uint64_t seed = 0;          // with equal seeds, prompts and parameters the tokens are equal
  int32_t num_logprobs = -1;  // -1: none; k: of the token and the k best
};

/// InvalidArgument, naming the field, for a value outside the ranges above or an id outside the
/// vocabulary.
absl::Status ValidateSamplingParams(const SamplingParams& params, int64_t vocab_size);

}  // namespace hadal
