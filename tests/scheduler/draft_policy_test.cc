#include "scheduler/draft_policy.h"

#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace hadal {
namespace {

using std::chrono::microseconds;

// Drafts that come true with the same chance in each place.
DraftHistory HistoryOf(int64_t num_accepted, int64_t num_drafts) {
  DraftHistory history;
  for (int i = 0; i < 200; ++i) {
    history.Observe(num_drafts, num_accepted);
  }
  return history;
}

// A machine on which a step takes fixed + per_token * tokens, and the module per_round * rounds +
// per_row * rows.
struct Machine {
  double fixed_us;
  double per_token_us;
  double per_round_us;
  double per_row_us;
};

DraftPolicy::Step StepOn(const Machine& machine,
                         int64_t num_tokens,
                         int64_t num_rounds,
                         int64_t num_module_rows) {
  const auto time = [](double fixed_us, double per_item_us, int64_t num_items) {
    return FromMilliseconds((fixed_us + per_item_us * static_cast<double>(num_items)) / 1000);
  };
  return {.num_tokens = num_tokens,
          .time = time(machine.fixed_us, machine.per_token_us, num_tokens),
          .num_rounds = num_rounds,
          .num_module_rows = num_module_rows,
          .draft_time = time(machine.per_round_us * static_cast<double>(num_rounds),
                             machine.per_row_us,
                             num_module_rows)};
}

// What the policy settles on for sequences with these histories: the sum of num_drafts over 64
// choices, by sequence.
std::vector<int64_t> Settle(const Machine& machine, const std::vector<DraftHistory>& histories) {
  DraftPolicy policy;
  std::vector<DraftPolicy::Candidate> candidates;
  for (const DraftHistory& history : histories) {
    candidates.push_back({.history = &history, .max_drafts = 8});
  }
  std::vector<int64_t> sums(histories.size());
  constexpr int kChoices = 400;
  for (int i = 0; i < kChoices; ++i) {
    int64_t num_tokens = std::ssize(candidates);
    double num_certain = static_cast<double>(num_tokens);
    for (const DraftPolicy::Candidate& candidate : candidates) {
      num_tokens += candidate.num_drafts;
      num_certain += candidate.history->ExpectedAccepted(candidate.num_drafts);
    }
    policy.Choose(candidates);
    int64_t num_rounds = policy.is_on() ? 1 : 0;
    int64_t num_rows = policy.is_on() ? static_cast<int64_t>(num_certain) : 0;
    for (size_t s = 0; s < candidates.size(); ++s) {
      num_rounds = std::max(num_rounds, candidates[s].num_drafts);
      num_rows += std::max(candidates[s].num_drafts - 1, int64_t{0});
      sums[s] += i >= kChoices - 64 ? candidates[s].num_drafts : 0;
    }
    policy.Observe(StepOn(machine, num_tokens, num_rounds, num_rows));
  }
  return sums;
}

// Terms that vary, each in a way of its own.
CostEstimate::Terms TermsOf(int i) {
  return {1, static_cast<double>(i * 7 % 11), static_cast<double>(i * 3 % 5)};
}

TEST(CostEstimateTest, FindsTheCoefficients) {
  CostEstimate estimate;
  for (int i = 0; i < 100; ++i) {
    const auto [one, x1, x2] = TermsOf(i);
    estimate.Observe(TermsOf(i), 3 + 0.5 * x1 + 2 * x2);
  }
  EXPECT_NEAR(estimate.Solve()[0], 3, 0.01);
  EXPECT_NEAR(estimate.Solve()[1], 0.5, 0.01);
  EXPECT_NEAR(estimate.Solve()[2], 2, 0.01);
}

TEST(CostEstimateTest, NothingCostsLessThanNothing) {
  CostEstimate estimate;
  for (int i = 0; i < 100; ++i) {
    const auto [one, x1, x2] = TermsOf(i);
    estimate.Observe(TermsOf(i), 20 - x1 + 2 * x2);
  }
  EXPECT_GT(estimate.Solve()[0], 10);
  EXPECT_EQ(estimate.Solve()[1], 0);
  EXPECT_NEAR(estimate.Solve()[2], 2, 0.5);
  for (const double cost : CostEstimate().Solve()) {
    EXPECT_EQ(cost, 0);
  }
}

TEST(CostEstimateTest, FollowsChange) {
  CostEstimate estimate;
  for (int i = 0; i < 2000; ++i) {
    estimate.Observe(TermsOf(i), i < 1000 ? 5 : 1 + TermsOf(i)[1]);
  }
  EXPECT_NEAR(estimate.Solve()[0], 1, 0.05);
  EXPECT_NEAR(estimate.Solve()[1], 1, 0.05);
  EXPECT_NEAR(estimate.Solve()[2], 0, 0.05);
}

TEST(DraftHistoryTest, EachPlaceHasItsRate) {
  const DraftHistory history = HistoryOf(2, 4);
  EXPECT_NEAR(history.ChanceOf(0), 1, 1e-3);
  EXPECT_NEAR(history.ChanceOf(1), 1, 1e-3);
  EXPECT_NEAR(history.ChanceOf(2), 0, 1e-3);
  EXPECT_NEAR(history.ExpectedAccepted(1), 1, 1e-3);
  EXPECT_NEAR(history.ExpectedAccepted(4), 2, 3e-3);
  EXPECT_EQ(history.ExpectedAccepted(0), 0);
}

// Behind a draft that was wrong nothing can be said.
TEST(DraftHistoryTest, PlacesThatWereNotReachedKeepTheirRate) {
  DraftHistory history;
  const double before = history.ChanceOf(1) / history.ChanceOf(0);
  history.Observe(3, 0);
  EXPECT_NEAR(history.ChanceOf(1) / history.ChanceOf(0), before, 1e-6);
}

// A step that reads weights, beside which a token more costs little.
constexpr Machine kBoundByMemory = {
    .fixed_us = 1000, .per_token_us = 20, .per_round_us = 50, .per_row_us = 5};

TEST(DraftPolicyTest, DraftsThatCostLittleAndComeTrueAreTaken) {
  EXPECT_GT(Settle(kBoundByMemory, {HistoryOf(8, 8)})[0], 64 * 7);
}

TEST(DraftPolicyTest, DraftsThatNeverComeTrueAreNot) {
  EXPECT_LE(Settle(kBoundByMemory, {HistoryOf(0, 8)})[0], 64 / 4);
}

TEST(DraftPolicyTest, NothingIsDraftedWhereATokenCostsAsMuchAsAStep) {
  const Machine bound_by_arithmetic = {
      .fixed_us = 1, .per_token_us = 1000, .per_round_us = 10, .per_row_us = 100};
  EXPECT_LE(Settle(bound_by_arithmetic, {HistoryOf(8, 8)})[0], 64 / 4);
}

// Each round takes as long as a step, however many sequences share it.
TEST(DraftPolicyTest, NothingIsDraftedWhereTheModuleTakesAsLongAsTheModel) {
  const Machine slow_module = {
      .fixed_us = 1000, .per_token_us = 10, .per_round_us = 1000, .per_row_us = 10};
  EXPECT_LE(Settle(slow_module, {HistoryOf(8, 8)})[0], 64 / 4);
  EXPECT_LE(Settle(slow_module, std::vector<DraftHistory>(8, HistoryOf(8, 8)))[0], 64 / 4);
}

// The first round over what became certain is what it costs to draft at all.
TEST(DraftPolicyTest, NothingIsDraftedWhereKeepingTheModuleUpCostsMoreThanItBrings) {
  const Machine busy = {.fixed_us = 1000, .per_token_us = 100, .per_round_us = 0, .per_row_us = 80};
  std::vector<DraftHistory> histories(32, HistoryOf(0, 8));
  histories[0] = HistoryOf(8, 8);
  EXPECT_LE(Settle(busy, histories)[0], 64 / 4);
}

TEST(DraftPolicyTest, EachSequenceHasWhatItsOwnDraftsAreWorth) {
  const auto sums =
      Settle({.fixed_us = 2000, .per_token_us = 50, .per_round_us = 20, .per_row_us = 10},
             {HistoryOf(8, 8), HistoryOf(1, 2), HistoryOf(0, 1)});
  EXPECT_GT(sums[0], sums[1]);
  EXPECT_GT(sums[1], sums[2]);
}

// Drafts of eight sequences, each as likely as not in the first place and rarely true in the
// second, on a machine that the policy knows: without drafts a step takes 1000 + 290 * 8 = 3320 us,
// and each draft 300 us more for half a token, where 415 us bring a whole one. The first sequence
// wishes for `target`. What is chosen for it, and for the others together.
std::pair<int64_t, int64_t> ChooseWithWish(Duration target) {
  DraftHistory history;
  for (int i = 0; i < 200; ++i) {
    history.Observe(2, i % 2);
  }
  const Machine machine = {
      .fixed_us = 1000, .per_token_us = 290, .per_round_us = 10, .per_row_us = 0};
  DraftPolicy policy;
  for (int64_t i = 1; i < 100; ++i) {
    policy.Observe(StepOn(machine, 8 + i * 7 % 11, 1 + i % 3, 8 + i * 5 % 13));
  }
  std::vector<DraftPolicy::Candidate> candidates(8, {.history = &history, .max_drafts = 8});
  candidates[0].target_tpot = target;
  policy.Choose(candidates);
  int64_t others = 0;
  for (size_t i = 1; i < candidates.size(); ++i) {
    others += candidates[i].num_drafts;
  }
  return {candidates[0].num_drafts, others};
}

TEST(DraftPolicyTest, AWishIsMetWithTheFewestDraftsThatDo) {
  EXPECT_EQ(ChooseWithWish(Duration::zero()), std::pair(int64_t{0}, int64_t{0}));
  EXPECT_EQ(ChooseWithWish(microseconds(3600)), std::pair(int64_t{0}, int64_t{0}));
  EXPECT_EQ(ChooseWithWish(microseconds(2600)), std::pair(int64_t{1}, int64_t{0}));
}

// A second draft would bring nothing but cost.
TEST(DraftPolicyTest, AWishThatCannotBeMetIsMetAsNearlyAsCanBe) {
  EXPECT_EQ(ChooseWithWish(microseconds(1)), std::pair(int64_t{1}, int64_t{0}));
}

// Of ten sequences that take 1000 + 300 * 10 = 4000 us, one could have eight more tokens for 300 us
// each. A quarter of the time is enough for three.
TEST(DraftPolicyTest, AWishSlowsOthersByAQuarterAtMost) {
  DraftHistory history;
  for (int i = 0; i < 400; ++i) {
    history.Observe(8, i % 10 == 1 || i % 10 == 4 || i % 10 == 7 ? 0 : 8);
  }
  const Machine machine = {
      .fixed_us = 1000, .per_token_us = 300, .per_round_us = 0, .per_row_us = 0};
  DraftPolicy policy;
  for (int64_t i = 1; i < 100; ++i) {
    policy.Observe(StepOn(machine, 8 + i * 7 % 11, 1 + i % 3, 8 + i * 5 % 13));
  }
  std::vector<DraftPolicy::Candidate> candidates(10, {.history = &history, .max_drafts = 8});
  candidates[0].target_tpot = microseconds(1);
  policy.Choose(candidates);
  EXPECT_EQ(candidates[0].num_drafts, 3);
  EXPECT_EQ(candidates[1].num_drafts, 0);
}

TEST(DraftPolicyTest, WhatDoesNotPayIsTriedAgainOnceInAWhile) {
  DraftPolicy policy;
  const DraftHistory bad = HistoryOf(0, 8);
  std::vector<DraftPolicy::Candidate> candidates = {
      {.history = &bad, .max_drafts = 8, .num_drafts = 0}};
  int num_on = 0;
  for (int i = 0; i < 2000; ++i) {
    policy.Choose(candidates);
    num_on += policy.is_on() && i >= 100 ? 1 : 0;
    const int64_t num_drafts = candidates[0].num_drafts;
    policy.Observe({.num_tokens = 1 + num_drafts,
                    .time = microseconds(1000 + 100 * num_drafts),
                    .num_rounds = num_drafts,
                    .num_module_rows = num_drafts,
                    .draft_time = microseconds(20 * num_drafts)});
  }
  EXPECT_GT(num_on, 10);
  EXPECT_LT(num_on, 200);
}

}  // namespace
}  // namespace hadal
