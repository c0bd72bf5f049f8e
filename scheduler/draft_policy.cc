#include "scheduler/draft_policy.h"

#include <algorithm>

namespace hadal {
namespace {

constexpr double kMemory = 0.98;        // weight of a step beside the one after it
constexpr float kHistoryWeight = 0.1F;  // of the newest draft in a moving mean
constexpr int64_t kStepsToLearn = 16;   // before costs mean anything
constexpr int64_t kExploreEvery = 32;   // steps, after which another length is tried for its cost
constexpr int64_t kTriedEvery = 256;    // choices without drafts, after which some are tried
constexpr int64_t kTrialLength = 8;     // choices in a row

}  // namespace

void DraftHistory::Observe(int64_t num_drafts, int64_t num_accepted) {
  for (int64_t place = 0; place < std::min(num_drafts, num_accepted + 1); ++place) {
    float& rate = rates_[static_cast<size_t>(place)];
    const float outcome = place < num_accepted ? 1.0F : 0.0F;
    rate += kHistoryWeight * (outcome - rate);
  }
}

double DraftHistory::ChanceOf(int64_t place) const {
  double chance = 1;
  for (int64_t i = 0; i <= place; ++i) {
    chance *= double{rates_[static_cast<size_t>(i)]};
  }
  return chance;
}

double DraftHistory::ExpectedAccepted(int64_t num_drafts) const {
  double expected = 0;
  double chance = 1;
  for (int64_t i = 0; i < num_drafts; ++i) {
    chance *= double{rates_[static_cast<size_t>(i)]};
    expected += chance;
  }
  return expected;
}

void DraftPolicy::Observe(const Step& step) {
  const double seconds = std::chrono::duration<double>(step.time).count();
  const Terms terms = {
      1, static_cast<double>(step.num_tokens), static_cast<double>(step.num_new_drafts)};
  for (size_t i = 0; i < kNumTerms; ++i) {
    for (size_t j = 0; j < kNumTerms; ++j) {
      moments_[i][j] = kMemory * moments_[i][j] + terms[i] * terms[j];
    }
    products_[i] = kMemory * products_[i] + terms[i] * seconds;
  }
  ++num_steps_;
}

// Gauss elimination of the normal equations with a little of a prior that all terms are small,
// which decides where steps have all been alike. No cost is below zero.
DraftPolicy::Terms DraftPolicy::SolveCosts() const {
  std::array<Terms, kNumTerms> matrix = moments_;
  Terms costs = products_;
  for (size_t i = 0; i < kNumTerms; ++i) {
    matrix[i][i] += 1e-3 * (1 + moments_[i][i]);
  }
  for (size_t i = 0; i < kNumTerms; ++i) {
    for (size_t row = i + 1; row < kNumTerms; ++row) {
      const double factor = matrix[row][i] / matrix[i][i];
      for (size_t column = i; column < kNumTerms; ++column) {
        matrix[row][column] -= factor * matrix[i][column];
      }
      costs[row] -= factor * costs[i];
    }
  }
  for (size_t i = kNumTerms; i-- > 0;) {
    for (size_t column = i + 1; column < kNumTerms; ++column) {
      costs[i] -= matrix[i][column] * costs[column];
    }
    costs[i] /= matrix[i][i];
  }
  for (double& cost : costs) {
    cost = std::max(cost, 0.0);
  }
  return costs;
}

void DraftPolicy::Choose(std::span<Candidate> candidates) {
  if (candidates.empty()) {
    return;
  }
  const auto count = static_cast<double>(candidates.size());
  const auto [fixed, per_token, per_draft] = SolveCosts();
  const double per_verified = per_token + per_draft;
  // 1. The rate without drafts, then with those that are worth it at that rate, and so on.
  double rate = 0;
  bool any = false;
  for (int round = 0; round < 4; ++round) {
    double tokens = count;
    double seconds = fixed + per_token * count;
    any = false;
    for (Candidate& candidate : candidates) {
      int64_t num_drafts = 0;
      while (num_drafts < candidate.max_drafts &&
             candidate.history->ChanceOf(num_drafts) > rate * per_verified && round > 0) {
        ++num_drafts;
      }
      candidate.num_drafts = num_drafts;
      any |= num_drafts > 0;
      tokens += candidate.history->ExpectedAccepted(num_drafts);
      seconds += per_verified * static_cast<double>(num_drafts);
    }
    if (seconds <= 0) {
      break;
    }
    rate = tokens / seconds;
  }
  // 2. What is never tried is never learnt.
  const bool is_learning = num_steps_ < kStepsToLearn;
  num_choices_off_ = any ? 0 : num_choices_off_ + 1;
  const bool is_trial =
      !any && num_choices_off_ % kTriedEvery < kTrialLength && num_choices_off_ >= kTriedEvery;
  const bool explores = any && num_steps_ % kExploreEvery == 0;
  if (is_learning || is_trial || explores) {
    for (Candidate& candidate : candidates) {
      const int64_t other = is_learning ? num_steps_ % 3 : explores ? candidate.num_drafts - 1 : 1;
      candidate.num_drafts = std::min(std::max(other, int64_t{0}), candidate.max_drafts);
    }
  }
  is_on_ = any || is_learning || is_trial;
}

}  // namespace hadal
