#pragma once

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
/// that part there.
struct SampleRow {
  int32_t row = 0;                         // index into ForwardBatch::token_ids
  int32_t sequence = 0;                    // index into the batch's sequences; holds `row`
  const SamplingParams* params = nullptr;  // borrowed
  std::span<const TokenId> tokens;         // borrowed: the sequence up to and with that query token
  int64_t num_prompt_tokens = 0;           // so many of `tokens` are the prompt
};

/// What a step is to do.
struct StepInput {
  ForwardBatch batch;              // at least one token
  std::vector<BlockCopy> copies;   // done in this order, before the tokens
  std::vector<SampleRow> samples;  // rows do not fall
};

/// Whether all numbers that a step computed for a sequence are finite.
enum class RowHealth : int8_t { kFinite, kNotFinite };

/// What a step did. Vectors keep their memory from step to step.
struct StepOutput {
  std::vector<RowHealth> health;      // [batch.num_sequences()]
  std::vector<SampledToken> samples;  // [input.samples.size()]; void where health is kNotFinite
  Duration forward_time{};            // copies, layers and norms
  Duration sample_time{};             // logits and sampling
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
