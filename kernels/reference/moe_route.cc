#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/reference/ops.h"

namespace hadal::reference {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

void ScoresOfLogits(ScoringFunc scoring_func, std::span<float> logits) {
  if (scoring_func == ScoringFunc::kSigmoid) {
    for (float& logit : logits) {
      logit = 1.0F / (1.0F + std::exp(-logit));
    }
    return;
  }
  const float highest = *std::max_element(logits.begin(), logits.end());
  for (float& logit : logits) {
    logit = std::exp(logit - highest);
  }
  const float sum = std::accumulate(logits.begin(), logits.end(), 0.0F);
  for (float& logit : logits) {
    logit /= sum;
  }
}

// The `count` highest values' indices, highest first, lower index first among equals. They stand at
// the front of `order`, which has room for all.
std::span<const int32_t> TopK(std::span<const float> values,
                              int64_t count,
                              std::span<int32_t> order) {
  order = order.first(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(
      order.begin(), order.begin() + count, order.end(), [values](int32_t a, int32_t b) {
        const float x = values[static_cast<size_t>(a)];
        const float y = values[static_cast<size_t>(b)];
        return x != y ? x > y : a < b;
      });
  return order.first(static_cast<size_t>(count));
}

float GroupScore(TopkMethod method, std::span<const float> choice, std::span<int32_t> order) {
  if (method == TopkMethod::kGroupLimitedGreedy) {
    return *std::max_element(choice.begin(), choice.end());
  }
  float sum = 0;
  for (const int32_t expert : TopK(choice, std::min<int64_t>(2, std::ssize(choice)), order)) {
    sum += choice[static_cast<size_t>(expert)];
  }
  return sum;
}

// Sets the choice of all experts outside the best topk_group groups to -inf.
void MaskGroups(const MoeRouteArgs& args, const RouteScratch& scratch) {
  const auto choice = scratch.choice.Row(0);
  const auto group_size = choice.size() / static_cast<size_t>(args.n_group);
  const auto scores = scratch.group_scores.Row(0);
  for (size_t group = 0; group < scores.size(); ++group) {
    scores[group] = GroupScore(
        args.topk_method, choice.subspan(group * group_size, group_size), scratch.order.Row(0));
  }
  const auto kept = TopK(scores, args.topk_group, scratch.order.Row(0));
  for (size_t expert = 0; expert < choice.size(); ++expert) {
    const auto group = static_cast<int32_t>(expert / group_size);
    if (std::find(kept.begin(), kept.end(), group) == kept.end()) {
      choice[expert] = kNever;
    }
  }
}

}  // namespace
