#include "engine/sample/logprobs.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hadal {
namespace {

constexpr float kImpossible = -std::numeric_limits<float>::infinity();

}  // namespace

double LogSumExp(std::span<const float> logits) {
  float highest = kImpossible;
  for (const float logit : logits) {
    highest = std::max(highest, logit);  // false for NaN
  }
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

std::vector<TokenLogprob> TopLogprobs(std::span<const float> logits, int64_t count) {
  std::vector<TokenLogprob> tokens;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > kImpossible) {
      tokens.push_back({static_cast<TokenId>(i), logits[i]});
    }
  }
  const auto better = [](const TokenLogprob& a, const TokenLogprob& b) {
    return a.logprob != b.logprob ? a.logprob > b.logprob : a.token < b.token;
  };
  const auto end = tokens.begin() + std::min(count, std::ssize(tokens));
  std::partial_sort(tokens.begin(), end, tokens.end(), better);
  tokens.erase(end, tokens.end());
  const double log_sum = LogSumExp(logits);
  for (TokenLogprob& token : tokens) {
    token.logprob = static_cast<float>(double{token.logprob} - log_sum);
  }
  return tokens;
}

}  // namespace hadal
