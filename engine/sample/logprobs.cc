#include "engine/sample/logprobs.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kernels/sample/portable_math.h"
#include "kernels/sample/strips.h"

namespace hadal {
namespace {

constexpr float kImpossible = -std::numeric_limits<float>::infinity();

bool Better(const TokenLogprob& a, const TokenLogprob& b) {
  return a.logprob != b.logprob ? a.logprob > b.logprob : a.token < b.token;
}

void TakeStrip(std::span<const float> strip,
               TokenId token,
               int64_t count,
               std::vector<TokenLogprob>& top) {
  for (const float logit : strip) {
    const TokenLogprob candidate = {token++, logit};
    if (!(logit > kImpossible)) {
      continue;
    }
    if (std::ssize(top) == count) {
      if (!Better(candidate, top.front())) {
        continue;
      }
      std::pop_heap(top.begin(), top.end(), Better);
      top.pop_back();
    }
    top.push_back(candidate);
    std::push_heap(top.begin(), top.end(), Better);
  }
}

}  // namespace

double LogSumExp(std::span<const float> logits) {
  const float highest = HighestOf(logits);
  if (std::isinf(highest)) {
    return highest;
  }
  double sum = 0;
  std::array<float, kStripTokens> buffer;
  for (size_t strip = 0; strip < NumStrips(logits.size()); ++strip) {
    const std::span<const float> strip_logits = StripOf(logits, strip);
    const std::span<float> weights = std::span(buffer).first(strip_logits.size());
    ExpBelow(strip_logits, highest, 1, weights);
    sum += SumOf(weights);
  }
  return double{highest} + LogOf(sum);
}

// A heap of the best so far has the worst of them in front: the one to replace. Once it is full, a
// strip matters only if it has a better one.
void TopLogprobs(std::span<const float> logits,
                 int64_t count,
                 double log_sum,
                 std::vector<TokenLogprob>& top) {
  top.clear();
  count = std::min(count, std::ssize(logits));
  top.reserve(static_cast<size_t>(count));
  for (size_t strip = 0; strip < NumStrips(logits.size()) && count > 0; ++strip) {
    const std::span<const float> strip_logits = StripOf(logits, strip);
    const float least = std::ssize(top) == count ? top.front().logprob : kImpossible;
    if (HighestOf(strip_logits) > least) {
      TakeStrip(strip_logits, static_cast<TokenId>(strip * kStripTokens), count, top);
    }
  }
  std::sort_heap(top.begin(), top.end(), Better);
  for (TokenLogprob& token : top) {
    token.logprob = static_cast<float>(double{token.logprob} - log_sum);
  }
}

}  // namespace hadal
