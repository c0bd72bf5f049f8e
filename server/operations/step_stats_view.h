#pragma once

#include <cstdint>
#include <span>

namespace hadal {

/// What a step computed and for whom, as the engine counted it. Borrows for the length of a call.
struct StepStatsView {
  std::span<const int64_t> expert_tokens{};  // [moe layer, expert]: tokens routed there; empty when
                                             // the model has no experts
  double flops = 0;                          // estimates, from shapes
  double bytes = 0;                          // of weights and cache that were read or written
  double active_parameters = 0;              // that at least one token of the step used
  double total_parameters = 0;
  int64_t attended_tokens = 0;  // cache rows that queries attended to, in one layer
  int64_t context_tokens = 0;   // rows that they could have; the same for dense attention
  int64_t drafted_tokens = 0;
  int64_t accepted_tokens = 0;  // of these
};

}  // namespace hadal
