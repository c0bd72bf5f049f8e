#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "engine/api/forward_batch.h"
#include "engine/api/sampled_token.h"
#include "engine/api/sampling_params.h"
#include "engine/api/step_stats.h"

namespace hadal {

/// One block to copy, in every layer, before a step runs: how a sequence that shares a partly
/// filled block gets one of its own to write to.
struct BlockCopy {
  int32_t source;
  int32_t destination;
};

/// A query token whose logits choose the token after it. Several may name the same row: sequences
/// that part there. A sequence's rows behind its first sampled one are drafts, tokens that were
/// guessed; each of them is sampled too, and the first whose guess was wrong ends what counts.
struct SampleRow {
  int32_t row = 0;                         // index into ForwardBatch::token_ids
  int32_t sequence = 0;                    // index into the batch's sequences; holds `row`
  const SamplingParams* params = nullptr;  // borrowed
  std::span<const TokenId> tokens;         // borrowed: the sequence up to its last known token …
  std::span<const TokenId> drafts = {};    // … and the drafts up to and with that query token
  int64_t num_prompt_tokens = 0;           // so many of `tokens` are the prompt
};

/// Most tokens that are guessed ahead of a sequence.
inline constexpr int64_t kMaxDraftTokens = 8;

/// How a sequence is drafted for, after a step.
struct DraftRow {
  TokenId next_token = 0;  // follows its last row; void where that is sampled
  int32_t num_drafts = 0;  // to guess behind the token that the step adds; 0 unless that is sampled
};

/// Tokens that may follow a sequence, best guess at each place.
struct DraftTokens {
  std::array<TokenId, kMaxDraftTokens> tokens;
  int32_t size = 0;

  [[nodiscard]] std::span<const TokenId> view() const {
    return std::span(tokens).first(static_cast<size_t>(size));
  }
};

/// How many of `drafts` came true: the leading ones that are what was sampled in their place, as
/// far as something was sampled behind them. samples[i] was sampled behind i of them.
inline int64_t NumAccepted(std::span<const TokenId> drafts, std::span<const SampledToken> samples) {
  size_t count = 0;
  while (count < drafts.size() && samples[count].token == drafts[count] &&
         samples[count + 1].token != kNoToken) {
    ++count;
  }
  return static_cast<int64_t>(count);
}

/// What a step is to do.
struct StepInput {
  ForwardBatch batch;              // at least one token
  std::vector<BlockCopy> copies;   // done in this order, before the tokens
  std::vector<SampleRow> samples;  // rows do not fall
  std::vector<DraftRow> drafts;    // [batch.num_sequences()], or empty: the MTP module rests. The
                                   // block table of a sequence goes on for num_drafts - 1 positions
                                   // behind its last row, in blocks that are its own
};

/// Whether all numbers that a step computed for a sequence are finite, those of its drafts aside.
enum class RowHealth : int8_t { kFinite, kNotFinite };

/// What a step did. Vectors keep their memory from step to step.
struct StepOutput {
  std::vector<RowHealth> health;      // [batch.num_sequences()]
  std::vector<SampledToken> samples;  // [input.samples.size()]; kNoToken where health is
                                      // kNotFinite, and behind drafts whose numbers are not finite
  std::vector<DraftTokens> drafts;    // [input.drafts.size()]; as many as were asked for, or fewer
  Duration forward_time{};            // copies, layers, norms; what is launched with them: checks,
                                      // logits of the first rows and choices among those
  Duration sample_time{};             // logits and choices that are left
  Duration draft_time{};              // the MTP module, its logits and sampling
  StepStats stats;
};

/// Runs steps, one at a time, somewhere else: the caller may think while a step runs. Used by one
/// thread. Only a step's own sequences can suffer from what goes wrong in it.
///
///   executor.Submit(input);
///   ...                                // anything that leaves `input` alone
///   const absl::Status status = executor.Wait(output);
class Executor {
 public:
  virtual ~Executor() = default;

  /// Begins a step and returns at once. `input` and what it borrows stay as they are until Wait
  /// returns. REQUIRES: no step runs.
  virtual void Submit(const StepInput& input) = 0;

  /// Blocks until the step has ended. With an error the step failed as a whole: `output` is void
  /// and so are the cache rows that the step was to write. REQUIRES: Submit was called.
  virtual absl::Status Wait(StepOutput& output) = 0;
};

}  // namespace hadal
