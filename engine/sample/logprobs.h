#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/api/sampled_token.h"

namespace hadal {

/// log(sum(exp(logits))), off by at most 1e-6. NaN and -inf entries count as impossible; finite
/// exactly when the highest is, and equal to it otherwise.
double LogSumExp(std::span<const float> logits);

/// Writes to `top` the `count` most probable tokens of softmax(logits), best first, lower id first
/// among equals; fewer when fewer have any probability. `log_sum` is LogSumExp(logits). Allocates
/// only when `top` has room for fewer than `count`.
void TopLogprobs(std::span<const float> logits,
                 int64_t count,
                 double log_sum,
                 std::vector<TokenLogprob>& top);

}  // namespace hadal
