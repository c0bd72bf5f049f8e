#pragma once

#include <cstdint>
#include <string>

namespace hadal::test {

/// A run of the real scheduler under one random life: the seed draws the limits, the tenants, the
/// prompts and their shared prefixes, arrivals, cancellations, stops, deadlines and faults.
struct SimulationOptions {
  uint64_t seed = 0;
  int64_t num_steps = 5000;  // then nothing arrives any more and what is left is brought to its end
  bool trace = false;        // every step and event to stdout
};

/// What a run did. Equal for equal options.
struct SimulationResult {
  int64_t num_steps = 0;
  int64_t num_requests = 0;
  int64_t num_tokens = 0;  // that reached clients
  int64_t num_cached_tokens = 0;
  int64_t num_preemptions = 0;
  int64_t num_copies = 0;
  int64_t num_cancelled = 0;
  int64_t num_stopped = 0;  // sequences that were told to
  int64_t num_expired = 0;
  int64_t num_failed = 0;
  int64_t num_refused = 0;
  int64_t most_steps_aged = 0;  // that an aged request waited
  uint64_t digest = 0;          // of every event in order
};

/// Runs it. CHECK-fails, naming the seed on stderr, when after any step an invariant of
/// docs/invariants.md does not hold, or a client would see a lost, doubled or wrong token, a second
/// end or none, an end without its reason, or a wait beyond the bound: an aged request waits at
/// most as many steps as the requests that were live when it came of age can have tokens, and one
/// in 32 more.
SimulationResult Simulate(const SimulationOptions& options);

/// A line for people.
std::string Describe(const SimulationOptions& options, const SimulationResult& result);

}  // namespace hadal::test
