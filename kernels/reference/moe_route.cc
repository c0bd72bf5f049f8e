#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

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

// The `count` highest values' indices, highest first, lower index first among equals.
std::vector<int32_t> TopK(std::span<const float> values, int64_t count) {
  std::vector<int32_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(
      order.begin(), order.begin() + count, order.end(), [values](int32_t a, int32_t b) {
        const float x = values[static_cast<size_t>(a)];
        const float y = values[static_cast<size_t>(b)];
        return x != y ? x > y : a < b;
      });
  order.resize(static_cast<size_t>(count));
  return order;
}

float GroupScore(TopkMethod method, std::span<const float> choice) {
  if (method == TopkMethod::kGroupLimitedGreedy) {
    return *std::max_element(choice.begin(), choice.end());
  }
  float sum = 0;
  for (const int32_t expert : TopK(choice, std::min<int64_t>(2, std::ssize(choice)))) {
    sum += choice[static_cast<size_t>(expert)];
  }
  return sum;
}

// Sets the choice of all experts outside the best topk_group groups to -inf.
void MaskGroups(const MoeRouteArgs& args, std::span<float> choice) {
  const auto group_size = choice.size() / static_cast<size_t>(args.n_group);
  std::vector<float> group_scores;
  for (size_t first = 0; first < choice.size(); first += group_size) {
    group_scores.push_back(GroupScore(args.topk_method, choice.subspan(first, group_size)));
  }
  std::vector<bool> kept(group_scores.size(), false);
  for (const int32_t group : TopK(group_scores, args.topk_group)) {
    kept[static_cast<size_t>(group)] = true;
  }
  for (size_t expert = 0; expert < choice.size(); ++expert) {
    if (!kept[expert / group_size]) {
      choice[expert] = kNever;
    }
  }
}

}  // namespace

void ChooseExperts(const MoeRouteArgs& args, int64_t token, std::span<float> scores) {
  ScoresOfLogits(args.scoring_func, scores);
  std::vector<float> choice(scores.begin(), scores.end());
  for (size_t expert = 0; expert < choice.size(); ++expert) {
    if (args.topk_method == TopkMethod::kNoauxTc) {
      choice[expert] += args.e_score_correction_bias(expert);
    }
    if (std::isnan(choice[expert])) {
      choice[expert] = std::numeric_limits<float>::lowest();
    }
  }
  if (args.topk_method != TopkMethod::kGreedy && args.n_group > 1) {
    MaskGroups(args, choice);
  }
  const std::vector<int32_t> experts = TopK(choice, args.expert_ids.extent(1));
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
  Linear({.x = args.x, .weight = args.gate, .output = Output::kStore, .y = logits}, context);
  for (int64_t t = 0; t < args.x.extent(0); ++t) {
    ChooseExperts(args, t, logits.Row(t));
  }
}

}  // namespace hadal::reference
