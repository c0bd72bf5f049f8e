#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/clock.h"
#include "engine/api/executor.h"

namespace hadal {

/// What became of a sequence's drafts, by place: the share that came true of those whose
/// forerunners had. Moving means, so that a text that becomes hard to guess is noticed.
class DraftHistory {
 public:
  /// `num_accepted` of `num_drafts` came true.
  void Observe(int64_t num_drafts, int64_t num_accepted);

  /// Expected to come true when `num_drafts` are verified.
  [[nodiscard]] double ExpectedAccepted(int64_t num_drafts) const;

  /// Chance that the draft in this place, and all before it, come true.
  [[nodiscard]] double ChanceOf(int64_t place) const;

 private:
  // Where nothing is known yet: optimistic, so that drafting is tried.
  std::array<float, kMaxDraftTokens> rates_ = {0.8F, 0.7F, 0.6F, 0.5F, 0.5F, 0.5F, 0.5F, 0.5F};
};

/// Chooses how many tokens to guess ahead of each sequence: as many as bring the most tokens per
/// second of all sequences together, by what their drafts were worth so far and by what steps take
/// on this machine, measured while they run. None is a valid answer; then drafting is tried again
/// once in a while. Owned by the scheduler's thread.
///
/// A step's time is taken to be a + b · tokens + c · drafts guessed, whose coefficients follow the
/// newest steps without chunks (least squares with forgetting). A draft is worth its step's time
/// when its chance over its cost exceeds the rate of tokens that all others reach; that rate is
/// found by iteration (Dinkelbach 1967, doi 10.1287/mnsc.13.7.492).
class DraftPolicy {
 public:
  struct Step {
    int64_t num_tokens = 0;      // drafts that are verified included
    int64_t num_new_drafts = 0;  // guessed
    Duration time{};
  };
  /// REQUIRES: no sequence of the step missed more than one token.
  void Observe(const Step& step);

  /// One sequence that drafts might be guessed for.
  struct Candidate {
    const DraftHistory* history;
    int64_t max_drafts;
    int64_t num_drafts;  // chosen
  };
  /// Fills num_drafts.
  void Choose(std::span<Candidate> candidates);

  /// Whether the last choice was to draft at all.
  [[nodiscard]] bool is_on() const { return is_on_; }

 private:
  static constexpr size_t kNumTerms = 3;  // of the time: a, b, c
  using Terms = std::array<double, kNumTerms>;

  [[nodiscard]] Terms SolveCosts() const;

  std::array<Terms, kNumTerms> moments_ = {};  // decayed sums of products of terms
  Terms products_ = {};                        // of terms and times
  int64_t num_steps_ = 0;                      // observed
  int64_t num_choices_off_ = 0;                // since the last that drafted
  bool is_on_ = true;
};

}  // namespace hadal
