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
  const auto choice = scratch.choice.Row();
  const auto group_size = choice.size() / static_cast<size_t>(args.n_group);
  const auto scores = scratch.group_scores.Row();
  for (size_t group = 0; group < scores.size(); ++group) {
    scores[group] = GroupScore(
        args.topk_method, choice.subspan(group * group_size, group_size), scratch.order.Row());
  }
  const auto kept = TopK(scores, args.topk_group, scratch.order.Row());
  for (size_t expert = 0; expert < choice.size(); ++expert) {
    const auto group = static_cast<int32_t>(expert / group_size);
    if (std::find(kept.begin(), kept.end(), group) == kept.end()) {
      choice[expert] = kNever;
    }
  }
}

}  // namespace

RouteScratch MakeRouteScratch(const MoeRouteArgs& args, ScratchArena& scratch) {
  return {.choice = scratch.Allocate<float>(args.gate.rows),
          .group_scores = scratch.Allocate<float>(args.n_group),
          .order = scratch.Allocate<int32_t>(std::max(args.gate.rows, args.n_group))};
}

void ChooseExperts(const MoeRouteArgs& args,
                   int64_t token,
                   std::span<float> scores,
                   const RouteScratch& scratch) {
  ScoresOfLogits(args.scoring_func, scores);
  const auto choice = scratch.choice.Row();
  for (size_t expert = 0; expert < choice.size(); ++expert) {
    choice[expert] = scores[expert];
    if (args.topk_method == TopkMethod::kNoauxTc) {
      choice[expert] += args.e_score_correction_bias(expert);
    }
    if (std::isnan(choice[expert])) {
      choice[expert] = std::numeric_limits<float>::lowest();
    }
  }
  if (args.topk_method != TopkMethod::kGreedy && args.n_group > 1) {
    MaskGroups(args, scratch);
  }
  const auto experts = TopK(choice, args.expert_ids.extent(1), scratch.order.Row());
  float sum = 0;
  for (const int32_t expert : experts) {
    sum += scores[static_cast<size_t>(expert)];
  }
  float factor = args.routed_scaling_factor;
  if (args.norm_topk_prob) {
    const float scaling = args.scoring_func == ScoringFunc::kSigmoid ? factor : 1.0F;
    factor = scaling / (sum + 1e-20F);
  }
  for (size_t k = 0; k < experts.size(); ++k) {
    args.expert_ids(token, k) = experts[k];
    args.weights(token, k) = scores[static_cast<size_t>(experts[k])] * factor;
  }
}

void MoeRoute(const MoeRouteArgs& args, ExecutionContext& context) {
  const ScratchScope scope(context.scratch);
  const auto logits = context.scratch.Allocate<float>(args.x.extent(0), args.gate.rows);
  const RouteScratch scratch = MakeRouteScratch(args, context.scratch);
  Linear({.x = args.x, .weight = args.gate, .output = Output::kStore, .y = logits}, context);
  for (int64_t t = 0; t < args.x.extent(0); ++t) {
    ChooseExperts(args, t, logits.Row(t), scratch);
  }
}

}  // namespace hadal::reference
