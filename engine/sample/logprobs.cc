#include "engine/sample/logprobs.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hadal {
namespace {

constexpr float kImpossible = -std::numeric_limits<float>::infinity();

bool Better(const TokenLogprob& a, const TokenLogprob& b) {
  return a.logprob != b.logprob ? a.logprob > b.logprob : a.token < b.token;
}

}  // namespace

float HighestLogit(std::span<const float> logits) {
  float highest = kImpossible;
  for (const float logit : logits) {
    highest = std::max(highest, logit);  // false for NaN
  }
  return highest;
}

double LogSumExp(std::span<const float> logits) {
  const float highest = HighestLogit(logits);
  if (std::isinf(highest)) {
    return highest;
  }
  double sum = 0;
  for (const float logit : logits) {
    if (!std::isnan(logit)) {
      sum += std::exp(double{logit} - double{highest});
    }
  }
  return double{highest} + std::log(sum);
}

// A heap of the best so far has the worst of them in front: the one to replace.
void TopLogprobs(std::span<const float> logits,
                 int64_t count,
                 double log_sum,
                 std::vector<TokenLogprob>& top) {
  top.clear();
  count = std::min(count, std::ssize(logits));
  top.reserve(static_cast<size_t>(count));
  for (size_t i = 0; i < logits.size() && count > 0; ++i) {
    const TokenLogprob token = {static_cast<TokenId>(i), logits[i]};
    if (!(token.logprob > kImpossible)) {
      continue;
    }
    if (std::ssize(top) == count) {
      if (!Better(token, top.front())) {
        continue;
      }
      std::pop_heap(top.begin(), top.end(), Better);
      top.pop_back();
    }
    top.push_back(token);
    std::push_heap(top.begin(), top.end(), Better);
  }
  std::sort_heap(top.begin(), top.end(), Better);
  for (TokenLogprob& token : top) {
    token.logprob = static_cast<float>(double{token.logprob} - log_sum);
  }
}

}  // namespace hadal
