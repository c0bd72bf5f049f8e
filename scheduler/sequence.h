#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "engine/api/executor.h"
#include "engine/api/finish_reason.h"
#include "engine/api/sampling_params.h"
#include "scheduler/block_pool.h"
#include "scheduler/draft_policy.h"
#include "scheduler/request.h"

namespace hadal {

class TokenStream;
struct LiveRequest;

enum class SequenceState : int8_t {
  kWaiting,    // holds no blocks, never had any
  kRunning,    // holds blocks; takes part in steps
  kPreempted,  // had its blocks taken away; is computed again from its tokens
  kEnded,
};

/// One continuation of a prompt. There are no phases: a step closes some of the gap between
/// num_computed_tokens and tokens.size(); when it closes all of it, a token is sampled.
struct Sequence {
  LiveRequest* request = nullptr;
  int32_t index = 0;  // in its request
  SequenceState state = SequenceState::kWaiting;
  SamplingParams sampling;          // the request's, with the sequence's own seed
  std::vector<TokenId> tokens;      // prompt, then what was generated
  int64_t num_computed_tokens = 0;  // leading tokens whose cache rows are there
  std::vector<BlockId> blocks;      // block i holds positions from i * kBlockSize; the last may be
                                    // there for drafts alone
  std::vector<uint64_t> hashes;     // of the full blocks of tokens
  int64_t num_findable_blocks = 0;  // leading blocks that are in the prefix cache
  DraftTokens drafts;               // that may follow `tokens`
  DraftHistory draft_history;
  bool stopping = false;  // gets no more tokens; ends with its step, or where it forks

  [[nodiscard]] int64_t num_tokens() const { return std::ssize(tokens); }
  [[nodiscard]] int64_t num_missing_tokens() const { return num_tokens() - num_computed_tokens; }

  /// Appends a token and keeps `hashes` up to date.
  void Append(TokenId token);
};

/// A request with the scheduler's notes. All memory that its sequences will need is reserved when
/// it is made, which any thread may do; afterwards the scheduler's thread owns it.
struct LiveRequest {
  explicit LiveRequest(Request what);

  [[nodiscard]] Sequence& leader() { return sequences.front(); }
  [[nodiscard]] int64_t num_prompt_tokens() const { return std::ssize(request.prompt); }
  /// Of max_running_sequences, for a sequence that runs: before the fork the leader stands for all.
  [[nodiscard]] int64_t num_slots() const { return forked ? 1 : std::ssize(sequences); }
  /// Tokens that a sequence may still generate.
  [[nodiscard]] int64_t num_left_tokens(const Sequence& sequence) const {
    return num_prompt_tokens() + request.max_new_tokens - sequence.num_tokens();
  }
  /// What it may cost at most, in tokens of all sequences.
  [[nodiscard]] int64_t max_cost_tokens() const;

  const Request request;
  std::shared_ptr<TokenStream> stream;  // what comes of it; null without a loop
  std::vector<Sequence> sequences;      // [num_sequences]; the first computes the prompt for all
  bool forked = false;                  // whether the others have begun
  TimePoint arrival{};
  int64_t arrival_number = 0;          // counts requests
  TimePoint latest_start{};            // the deadline less the time that it will take
  bool aged = false;                   // waited for starvation_age: goes before all that have not
  bool in_plan = false;                // a sequence of it takes part in the step that runs
  std::optional<FinishReason> ending;  // how it ends when that step has ended
  CacheReport cache;                   // of its admission
};

/// Whether `a` goes before `b`: aged ones first, then by priority, then by arrival.
bool GoesBefore(const Sequence& a, const Sequence& b);

}  // namespace hadal
