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

/// The coefficients of y = c[0] x[0] + c[1] x[1] + c[2] x[2], none below zero, by least squares
/// over the newest observations: those before count less and less.
class CostEstimate {
 public:
  static constexpr size_t kNumTerms = 3;
  using Terms = std::array<double, kNumTerms>;

  void Observe(const Terms& x, double y);
  [[nodiscard]] Terms Solve() const;

 private:
  std::array<Terms, kNumTerms> products_ = {};  // decayed sums of x[i] x[j]
  Terms products_with_y_ = {};
};

/// Chooses how many tokens to guess ahead of each sequence: as many as bring the most tokens per
/// second of all sequences together, by what their drafts were worth so far and by what steps take
/// on this machine, measured while they run. None is a valid answer; then drafting is tried again
/// once in a while. Owned by the scheduler's thread.
///
/// A step is taken to last a + b · tokens + c · tokens of chunks, and the MTP module after it
/// d · rounds + e · rows, where a round guesses one token of every sequence that wants one more,
/// and the first round runs over all tokens that the step made certain. For each number of rounds a
/// sequence gets the drafts whose chance over their cost exceeds the rate of tokens that is reached
/// without them, and the number of rounds with the highest rate is taken. A sequence that wishes
/// for a time per token then gets the fewest further drafts with which it is met, or nearly.
class DraftPolicy {
 public:
  struct Step {
    int64_t num_tokens = 0;  // drafts that are verified included, chunks not
    int64_t num_chunk_tokens = 0;
    Duration time{};              // without the module
    int64_t num_rounds = 0;       // of the module; 0: it rested
    int64_t num_module_rows = 0;  // of all rounds
    Duration draft_time{};        // of the module
  };
  void Observe(const Step& step);

  /// One sequence that drafts might be guessed for.
  struct Candidate {
    const DraftHistory* history;
    int64_t max_drafts;
    Duration target_tpot{};  // wished time per output token; 0: none
    int64_t num_drafts = 0;  // chosen
  };
  /// Fills num_drafts. Beside others, wishes lengthen a step by a quarter at most.
  void Choose(std::span<Candidate> candidates);

  /// Whether the last choice was to draft at all.
  [[nodiscard]] bool is_on() const { return is_on_; }

 private:
  // What a choice amounts to.
  struct Totals {
    double num_sequences = 0;
    double num_drafts = 0;
    double num_accepted = 0;  // expected
    double num_drafting = 0;  // sequences with drafts
    int64_t num_rounds = 0;
  };
  struct Costs {
    double step;        // seconds of a step,
    double token;       // of each token of it that is no chunk's,
    double round;       // of a round of the module,
    double row;         // and of each row of it;
    double chunks;      // of the chunks of a step, as they have been of late,
    double chunk_rows;  // and of the module's rows for them
  };

  static double Seconds(const Costs& costs, const Totals& totals);
  static void SetDrafts(int64_t num_drafts, Candidate& candidate, Totals& totals);
  static Totals ChooseAtRate(const Costs& costs,
                             double rate,
                             int64_t num_rounds,
                             std::span<Candidate> candidates);
  static Totals ChooseByRate(const Costs& costs, std::span<Candidate> candidates);
  static void MeetTargets(const Costs& costs, std::span<Candidate> candidates, Totals& totals);

  CostEstimate step_cost_;
  CostEstimate draft_cost_;
  double mean_chunk_tokens_ = 0;  // of the newest steps
  int64_t num_steps_ = 0;         // observed
  int64_t num_choices_off_ = 0;   // since the last that drafted
  bool is_on_ = true;
};

}  // namespace hadal
