#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/status.h"

namespace hadal {

/// How many tokens are guessed ahead of a sequence.
enum class DraftLength : int8_t {
  kFixed,    // max_draft_tokens
  kAdapted,  // as many as pay, up to that
};

/// Every bound of the scheduler, validated together and printed at start.
struct Limits {
  int64_t vocab_size = 129'280;        // of the model: no id reaches it
  int64_t max_running_sequences = 64;  // sequences that share a step
  int64_t max_step_tokens = 512;       // the token budget of a step
  int64_t max_draft_tokens = 0;        // guessed ahead of a sequence; at most kMaxDraftTokens
  DraftLength draft_length = DraftLength::kFixed;
  int64_t max_requests = 1024;             // waiting and running
  int64_t max_waiting_tokens = 1'000'000;  // prompt tokens of requests that no step has begun
  int64_t max_sequence_tokens = 4096;      // prompt and continuation: the model's context
  int64_t max_sequences_per_request = 8;   // n; nor more than may run
  int64_t max_logprobs = 20;               // SamplingParams::num_logprobs
  int64_t max_stop_token_ids = 64;         // of a request; also SamplingParams::ending_token_ids
  int64_t max_logit_biases = 1024;         // likewise
  int64_t num_blocks = 64;                 // of the cache
  double watermark = 0.01;                 // share of the blocks that admission leaves free
  int64_t min_chunk_tokens = 16;           // a chunk beside running sequences is never cut below
  Duration target_step_time = std::chrono::milliseconds(50);  // chunks beside running sequences
                                                              // are cut to reach it
  int64_t fairness_quantum_tokens = 1024;              // tokens that a tenant may take in a round
  Duration starvation_age = std::chrono::seconds(30);  // older requests go before all others
  Duration default_patience = std::chrono::seconds(600);  // orders requests without a deadline
};

/// InvalidArgument, naming the field, for a bound that is out of range or at odds with another.
absl::Status ValidateLimits(const Limits& limits);

/// "name value, name value, …", one for each bound.
std::string Describe(const Limits& limits);

}  // namespace hadal
