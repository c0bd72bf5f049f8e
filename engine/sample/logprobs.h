#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/token_id.h"

namespace hadal {

/// A token and the natural logarithm of its probability.
struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0;
};

/// log(sum(exp(logits))), in double over the shifted values. NaN and -inf entries count as
/// impossible; -inf when all are.
double LogSumExp(std::span<const float> logits);

/// The `count` most probable tokens of softmax(logits), best first, lower id first among equals.
/// Fewer when fewer have any probability.
std::vector<TokenLogprob> TopLogprobs(std::span<const float> logits, int64_t count);

}  // namespace hadal
