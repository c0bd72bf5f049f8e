#pragma once

#include <cstdint>
#include <span>

#include "base/status.h"
#include "engine/api/sampled_token.h"
#include "engine/api/sampling_params.h"
#include "engine/sample/token_counts.h"

namespace hadal {

/// Chooses the next token. In this order: logit bias; repetition, then frequency and presence
/// penalties; with temperature 0 the highest logit (the lower id among equals); otherwise softmax
/// of logits / temperature, cut by top_k, then top_p, then min_p, each on what the one before left,
/// and one draw from the rest.
///
/// The draw depends on params.seed and `position`, the index of the token in its sequence, alone,
/// so that a request's tokens do not depend on what else runs beside it. `logits` [vocab_size] is
/// overwritten. Internal when no logit is finite. REQUIRES: `params` is valid for this vocabulary.
absl::StatusOr<SampledToken> Sample(const SamplingParams& params,
                                    const TokenCounts& counts,
                                    int64_t position,
                                    std::span<float> logits);

/// Uniform in [0, 1) with 53 random bits: splitmix64 (Steele et al. 2014,
/// doi 10.1145/2660193.2660195) of the pair.
double UniformAt(uint64_t seed, int64_t position);

}  // namespace hadal
