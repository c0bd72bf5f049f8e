#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "base/token_id.h"
#include "engine/api/executor.h"

namespace hadal {

/// An executor without a model: steps take virtual time, tokens are hashes, and every step is held
/// to the contract of ForwardBatch. For tests and simulations of scheduling.
///
/// Its cache holds for each slot the hash of all tokens up to that position, made from the hash of
/// the position before, which it reads through the block table as attention would. So a block that
/// is stale, foreign, overwritten, not computed or copied too late is noticed, and CHECK-fails:
///   1. What the block table of a sequence holds before the batch's tokens is one unbroken chain,
///      before the step writes and after it.
///   2. Where a token is sampled, that chain is the sequence's own tokens: always up to 512 of
///      them, at every 16th beyond.
///   3. Slots written in a step are distinct and are those of the block table.
///   4. Rows that a step did not finish (it failed, or its numbers were not finite) are not read.
///   5. Block tables go on for the drafts that are asked for.
///
/// A sampled token depends on the tokens before it and on seed and temperature, on nothing else.
/// Equal calls give equal results. One step costs O(tokens + blocks + sampled sequences' tokens).
class SimulatedExecutor final : public Executor {
 public:
  /// What a step takes, in microseconds. The context of a token is its position + 1: the cache rows
  /// that its attention reads.
  struct Cost {
    double fixed_us = 1000;
    double per_token_us = 100;
    double per_context_token_us = 0.1;
    double per_sample_us = 10;
    double per_draft_us = 10;
  };

  /// What goes wrong by chance, with probabilities from 0 to 1.
  struct Faults {
    uint64_t seed = 0;
    double step_failure = 0;    // of a step: Wait answers Internal
    double slow_step = 0;       // of a step: it takes slow_factor times as long
    double slow_factor = 10;    //
    double not_finite = 0;      // of a sequence in a step
    TokenId poison_token = -1;  // a sequence with this token in the batch is not finite
  };

  struct Args {
    VirtualClock& clock;          // moved by Wait; nobody else may move it meanwhile
    int64_t num_blocks;           // of the cache
    int32_t vocab_size;           // sampled tokens are below; >= 1
    double draft_accuracy = 0.7;  // share of drafts that are what would be sampled there
    Cost cost = {};
    Faults faults = {};
  };

  explicit SimulatedExecutor(const Args& args);

  /// The step with this number fails, counted from 0. REQUIRES: called before the first step or by
  /// the thread that runs steps.
  void FailStep(int64_t step);

  void Submit(const StepInput& input) override;

  /// Internal for a step that fails. Advances the clock by what the step costs, in any case.
  absl::Status Wait(StepOutput& output) override;

  [[nodiscard]] int64_t num_steps() const { return num_steps_; }

  /// The token that a sequence of these tokens goes on with.
  static TokenId NextToken(std::span<const TokenId> tokens,
                           const SamplingParams& params,
                           int32_t vocab_size);

 private:
  // A block holds a chain in rows [0, num_rows): each row's hash was made from that before it.
  struct Block {
    uint64_t parent = 0;   // hash before the first row
    int64_t num_rows = 0;  // what lies behind is garbage
  };

  void CheckShape(const StepInput& input) const;
  void Copy(const BlockCopy& copy);
  void WriteTokens(const ForwardBatch& batch, int64_t sequence);
  void CheckPrefix(const ForwardBatch& batch, int64_t sequence, int64_t num_positions) const;
  void ForgetTokens(const ForwardBatch& batch, int64_t sequence);
  void Sample(const StepInput& input, const SampleRow& row, SampledToken& sampled) const;
  void Draft(const StepInput& input, StepOutput& output) const;
  [[nodiscard]] bool IsFinite(const ForwardBatch& batch, int64_t sequence) const;
  [[nodiscard]] bool Happens(double probability, uint64_t kind, int64_t index) const;

  VirtualClock& clock_;
  const int32_t vocab_size_;
  const double draft_accuracy_;
  const Cost cost_;
  const Faults faults_;
  std::set<int64_t> failing_steps_;

  std::vector<Block> blocks_;
  std::vector<uint64_t> hashes_;      // [slots]
  std::vector<int64_t> written_in_;   // [slots] number of the last step that wrote there
  int64_t num_steps_ = 0;             // that have begun
  const StepInput* input_ = nullptr;  // of the step that runs
};

}  // namespace hadal
