#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/reference/ops.h"
#include "kernels/sample/mass.h"
#include "kernels/sample/portable_math.h"
#include "kernels/sample/race.h"

namespace hadal::reference {
namespace {

float HighestFinite(std::span<const float> logits) {
  float highest = -std::numeric_limits<float>::infinity();
  for (const float logit : logits) {
    highest = std::isnan(logit) ? highest : std::max(highest, logit);
  }
  return highest;
}

// The tokens that hold the mass, of `order`, which has the heaviest first.
std::span<const TokenId> HoldMass(std::span<const TokenId> order,
                                  std::span<const float> weights,
                                  float top_p) {
  if (top_p >= 1) {
    return order;
  }
  int64_t total = 0;
  for (const TokenId token : order) {
    total += MassOf(weights[static_cast<size_t>(token)]);
  }
  const int64_t target = MassToHold(top_p, total);
  size_t count = 0;
  for (int64_t mass = 0; mass < target; ++count) {
    mass += MassOf(weights[static_cast<size_t>(order[count])]);
  }
  return order.first(count);
}

// The kept token that arrives first.
TokenId Draw(const SampleChoice& choice,
             std::span<const TokenId> order,
             std::span<const float> weights) {
  TokenId winner = kNoToken;
  double first = std::numeric_limits<double>::infinity();
  for (const TokenId token : order) {
    const float weight = weights[static_cast<size_t>(token)];
    if (weight == 0 || weight < choice.min_p) {
      continue;
    }
    const double arrival = NoiseAt(choice.seed, choice.position, token) / weight;
    if (arrival < first || (arrival == first && token < winner)) {
      first = arrival;
      winner = token;
    }
  }
  return winner;
}

}  // namespace

void Sample(const SampleArgs& args, ExecutionContext& context) {
  const ScratchScope scope(context.scratch);
  const int64_t vocab_size = args.logits.extent(1);
  const std::span<float> weights = context.scratch.Allocate<float>(vocab_size).Row();
  const std::span<TokenId> order = context.scratch.Allocate<TokenId>(vocab_size).Row();
  for (int64_t i = 0; i < args.choices.extent(0); ++i) {
    const SampleChoice& choice = args.choices(i);
    const std::span<const float> logits = args.logits.Row(choice.row);
    const float highest = HighestFinite(logits);
    if (!std::isfinite(highest)) {
      args.token_ids(i) = kNoToken;
      continue;
    }
    if (choice.temperature == 0) {
      const auto best = std::find(logits.begin(), logits.end(), highest);
      args.token_ids(i) = static_cast<TokenId>(best - logits.begin());
      continue;
    }
    ExpBelow(logits, highest, ScaleOf(choice.temperature), weights);
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [weights](TokenId a, TokenId b) {
      const float x = weights[static_cast<size_t>(a)];
      const float y = weights[static_cast<size_t>(b)];
      return x != y ? x > y : a < b;
    });
    const int64_t count = choice.top_k == 0 ? vocab_size : choice.top_k;
    const auto heaviest = order.first(static_cast<size_t>(std::min(count, vocab_size)));
    args.token_ids(i) = Draw(choice, HoldMass(heaviest, weights, choice.top_p), weights);
  }
}

}  // namespace hadal::reference
