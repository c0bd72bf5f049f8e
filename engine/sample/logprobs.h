#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/api/sampled_token.h"

namespace hadal {

/// log(sum(exp(logits))), in double over the shifted values. NaN and -inf entries count as
/// impossible; -inf when all are.
double LogSumExp(std::span<const float> logits);

/// The `count` most probable tokens of softmax(logits), best first, lower id first among equals.
/// Fewer when fewer have any probability.
std::vector<TokenLogprob> TopLogprobs(std::span<const float> logits, int64_t count);

}  // namespace hadal
