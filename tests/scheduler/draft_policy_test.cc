#include "scheduler/draft_policy.h"

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

// A machine on which a step takes fixed + per_token * tokens + per_draft * drafts.
struct Machine {
  double fixed_us;
  double per_token_us;
  double per_draft_us;
};

// What the policy settles on for sequences with these histories: the sum of num_drafts over 64
// choices, by sequence.
std::vector<int64_t> Settle(const Machine& machine, const std::vector<DraftHistory>& histories) {
  DraftPolicy policy;
  std::vector<DraftPolicy::Candidate> candidates;
  for (const DraftHistory& history : histories) {
    candidates.push_back({.history = &history, .max_drafts = 8, .num_drafts = 0});
  }
  std::vector<int64_t> sums(histories.size());
  constexpr int kChoices = 400;
  for (int i = 0; i < kChoices; ++i) {
    int64_t num_verified = 0;
    for (const DraftPolicy::Candidate& candidate : candidates) {
      num_verified += candidate.num_drafts;
    }
    policy.Choose(candidates);
    int64_t num_new = 0;
    for (size_t s = 0; s < candidates.size(); ++s) {
      num_new += candidates[s].num_drafts;
      sums[s] += i >= kChoices - 64 ? candidates[s].num_drafts : 0;
    }
    const int64_t num_tokens = std::ssize(candidates) + num_verified;
    policy.Observe(
        {.num_tokens = num_tokens,
         .num_new_drafts = num_new,
         .time = std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::micro>(
             machine.fixed_us + machine.per_token_us * static_cast<double>(num_tokens) +
             machine.per_draft_us * static_cast<double>(num_new)))});
  }
  return sums;
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

TEST(DraftPolicyTest, DraftsThatCostLittleAndComeTrueAreTaken) {
  const auto sums =
      Settle({.fixed_us = 1000, .per_token_us = 20, .per_draft_us = 20}, {HistoryOf(8, 8)});
  EXPECT_GT(sums[0], 64 * 7);
}

TEST(DraftPolicyTest, DraftsThatNeverComeTrueAreNot) {
  const auto sums =
      Settle({.fixed_us = 1000, .per_token_us = 20, .per_draft_us = 20}, {HistoryOf(0, 8)});
  EXPECT_LE(sums[0], 64 / 4);
}

TEST(DraftPolicyTest, NothingIsDraftedWhereATokenCostsAsMuchAsAStep) {
  const auto sums =
      Settle({.fixed_us = 1, .per_token_us = 1000, .per_draft_us = 100}, {HistoryOf(8, 8)});
  EXPECT_LE(sums[0], 64 / 4);
}

TEST(DraftPolicyTest, EachSequenceHasWhatItsOwnDraftsAreWorth) {
  const auto sums = Settle({.fixed_us = 2000, .per_token_us = 50, .per_draft_us = 20},
                           {HistoryOf(8, 8), HistoryOf(1, 2), HistoryOf(0, 1)});
  EXPECT_GT(sums[0], sums[1]);
  EXPECT_GT(sums[1], sums[2]);
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
    policy.Observe({.num_tokens = 1 + candidates[0].num_drafts,
                    .num_new_drafts = candidates[0].num_drafts,
                    .time = microseconds(1000 + 100 * candidates[0].num_drafts)});
  }
  EXPECT_GT(num_on, 10);
  EXPECT_LT(num_on, 200);
}

}  // namespace
}  // namespace hadal
