#include "scheduler/draft_policy.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace hadal {
namespace {

constexpr double kMemory = 0.99;        // weight of a step beside the one after it
constexpr float kHistoryWeight = 0.1F;  // of the newest draft in a moving mean
constexpr int64_t kStepsToLearn = 8;    // before costs mean anything
constexpr int64_t kExploreEvery = 32;   // steps, after which another length is tried for its cost
constexpr int64_t kTriedAfter = 256;    // choices without drafts, after which some are tried: then
constexpr int64_t kTriedEvery = 2048;   // after twice as many, at last after so many each time
constexpr int64_t kTrialLength = 8;     // choices in a row
constexpr double kLeastGain = 1.2;      // of the rate: less may be an error of the estimates
constexpr double kMostSlowedByWishes = 0.25;

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

void CostEstimate::Observe(const Terms& x, double y) {
  for (size_t i = 0; i < kNumTerms; ++i) {
    for (size_t j = 0; j < kNumTerms; ++j) {
      products_[i][j] = kMemory * products_[i][j] + x[i] * x[j];
    }
    products_with_y_[i] = kMemory * products_with_y_[i] + x[i] * y;
  }
}

// The normal equations by Gauss elimination, with a little of a prior that all coefficients are
// small, which decides where observations have all been alike. The lowest that is below zero is set
// to zero and the others found again.
CostEstimate::Terms CostEstimate::Solve() const {
  constexpr double kPrior = 1e-4;
  std::array<bool, kNumTerms> is_zero = {};
  for (;;) {
    std::array<Terms, kNumTerms> matrix = products_;
    Terms costs = products_with_y_;
    for (size_t i = 0; i < kNumTerms; ++i) {
      matrix[i][i] += kPrior * (1 + products_[i][i]);
      if (is_zero[i]) {
        matrix[i] = {};
        matrix[i][i] = 1;
        costs[i] = 0;
      }
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
    const auto lowest = std::min_element(costs.begin(), costs.end());
    if (*lowest >= 0) {
      return costs;
    }
    is_zero[static_cast<size_t>(lowest - costs.begin())] = true;
  }
}

void DraftPolicy::Observe(const Step& step) {
  const auto seconds = [](Duration time) { return std::chrono::duration<double>(time).count(); };
  step_cost_.Observe(
      {1, static_cast<double>(step.num_tokens), static_cast<double>(step.num_chunk_tokens)},
      seconds(step.time));
  if (step.num_rounds > 0) {
    draft_cost_.Observe(
        {static_cast<double>(step.num_rounds), static_cast<double>(step.num_module_rows), 0},
        seconds(step.draft_time));
  }
  mean_chunk_tokens_ =
      kMemory * mean_chunk_tokens_ + (1 - kMemory) * static_cast<double>(step.num_chunk_tokens);
  ++num_steps_;
}

// Of the steps that follow one another with this choice.
double DraftPolicy::Seconds(const Costs& costs, const Totals& totals) {
  const double step =
      costs.step + costs.chunks + costs.token * (totals.num_sequences + totals.num_drafts);
  const double rows =
      totals.num_sequences + totals.num_accepted + totals.num_drafts - totals.num_drafting;
  const double draft =
      costs.round * static_cast<double>(totals.num_rounds) + costs.row * rows + costs.chunk_rows;
  return totals.num_rounds == 0 ? step : step + draft;
}

void DraftPolicy::SetDrafts(int64_t num_drafts, Candidate& candidate, Totals& totals) {
  const auto add = [&](double sign) {
    totals.num_drafts += sign * static_cast<double>(candidate.num_drafts);
    totals.num_accepted += sign * candidate.history->ExpectedAccepted(candidate.num_drafts);
    totals.num_drafting += candidate.num_drafts > 0 ? sign : 0;
  };
  add(-1);
  candidate.num_drafts = num_drafts;
  add(1);
  totals.num_rounds = std::max(totals.num_rounds, num_drafts);
}

// What is worth its cost where other tokens come at this rate, in at most so many rounds.
DraftPolicy::Totals DraftPolicy::ChooseAtRate(const Costs& costs,
                                              double rate,
                                              int64_t num_rounds,
                                              std::span<Candidate> candidates) {
  Totals totals = {.num_sequences = static_cast<double>(candidates.size())};
  for (Candidate& candidate : candidates) {
    candidate.num_drafts = 0;
    const int64_t most = std::min(candidate.max_drafts, num_rounds);
    int64_t num_drafts = 0;
    while (num_drafts < most) {
      const double chance = candidate.history->ChanceOf(num_drafts);
      const double num_rows = chance + (num_drafts > 0 ? 1 : 0);
      if (chance <= rate * (costs.token + costs.row * num_rows)) {
        break;
      }
      ++num_drafts;
    }
    SetDrafts(num_drafts, candidate, totals);
  }
  return totals;
}

// The number of rounds with the highest rate, to which more rounds lead as long as they raise it.
DraftPolicy::Totals DraftPolicy::ChooseByRate(const Costs& costs, std::span<Candidate> candidates) {
  const auto rate_of = [&](const Totals& totals) {
    return (totals.num_sequences + totals.num_accepted) /
           std::max(Seconds(costs, totals), std::numeric_limits<double>::min());
  };
  const double rate_without = rate_of({.num_sequences = static_cast<double>(candidates.size())});
  double best_rate = rate_without * kLeastGain;
  int64_t best_rounds = 0;
  double best_chosen_at = 0;
  for (int64_t num_rounds = 1; num_rounds <= kMaxDraftTokens; ++num_rounds) {
    const double chosen_at = std::max(best_rate, rate_without);
    const double rate = rate_of(ChooseAtRate(costs, chosen_at, num_rounds, candidates));
    if (rate <= best_rate) {
      break;
    }
    best_rate = rate;
    best_rounds = num_rounds;
    best_chosen_at = chosen_at;
  }
  return ChooseAtRate(costs, best_chosen_at, best_rounds, candidates);
}

// Adds drafts of sequences whose wish the step would miss.
void DraftPolicy::MeetTargets(const Costs& costs, std::span<Candidate> candidates, Totals& totals) {
  const double most_seconds = candidates.size() == 1
                                  ? std::numeric_limits<double>::infinity()
                                  : Seconds(costs, totals) * (1 + kMostSlowedByWishes);
  for (Candidate& candidate : candidates) {
    const double target = std::chrono::duration<double>(candidate.target_tpot).count();
    const auto tpot_of = [&](const Totals& choice) {
      return Seconds(costs, choice) /
             (1 + candidate.history->ExpectedAccepted(candidate.num_drafts));
    };
    Totals best_totals = totals;
    int64_t best = candidate.num_drafts;
    double best_tpot = tpot_of(totals);
    for (int64_t k = best + 1; target > 0 && k <= candidate.max_drafts && best_tpot > target; ++k) {
      SetDrafts(k, candidate, totals);
      if (tpot_of(totals) < best_tpot && Seconds(costs, totals) <= most_seconds) {
        best = k;
        best_totals = totals;
        best_tpot = tpot_of(totals);
      }
    }
    candidate.num_drafts = best;
    totals = best_totals;
  }
}

void DraftPolicy::Choose(std::span<Candidate> candidates) {
  if (candidates.empty()) {
    return;
  }
  const CostEstimate::Terms step = step_cost_.Solve();
  const CostEstimate::Terms draft = draft_cost_.Solve();
  const Costs costs = {.step = step[0],
                       .token = step[1],
                       .round = draft[0],
                       .row = draft[1],
                       .chunks = step[2] * mean_chunk_tokens_,
                       .chunk_rows = draft[1] * mean_chunk_tokens_};
  Totals totals = ChooseByRate(costs, candidates);
  MeetTargets(costs, candidates, totals);
  const bool any = totals.num_drafting > 0;
  // What is never tried is never learnt.
  const bool is_learning = num_steps_ < kStepsToLearn;
  num_choices_off_ = any ? 0 : num_choices_off_ + 1;
  const int64_t since_trial =
      num_choices_off_ < kTriedEvery
          ? num_choices_off_ -
                static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(num_choices_off_)))
          : num_choices_off_ % kTriedEvery;
  const bool is_trial = !any && num_choices_off_ >= kTriedAfter && since_trial < kTrialLength;
  const bool explores = any && num_steps_ % kExploreEvery == 0;
  if (is_learning || is_trial || explores) {
    for (Candidate& candidate : candidates) {
      const int64_t other = is_learning ? num_steps_ % 2 : explores ? candidate.num_drafts - 1 : 1;
      candidate.num_drafts = std::min(std::max(other, int64_t{0}), candidate.max_drafts);
    }
  }
  is_on_ = any || is_learning || is_trial;
}

}  // namespace hadal
