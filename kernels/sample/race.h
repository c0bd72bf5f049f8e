#pragma once

#include <cstdint>

#include "base/token_id.h"
#include "kernels/sample/token_weights.h"

namespace hadal {

/// The race that draws a token: token t of weight w arrives at NoiseAt(seed, position, t) / w, and
/// the first wins, which it does with probability w / sum of weights.
///
/// Noise is drawn strip by strip, as what is left of the noise of those that are not the least is
/// exponential again: first the least of a strip's 64 exponential variables, itself exponential of
/// rate 64; then which token has it; and the others' as that plus one of their own. So one number
/// tells of most strips that all of their tokens come late, and neither their weights nor their
/// noise are computed.

/// The noise of `token` at `position` of a sequence: exponential of mean 1, independent of all
/// others. A function of the three numbers alone, with the same bits on every CPU.
double NoiseAt(uint64_t seed, int64_t position, TokenId token);

/// The first to arrive, the lower id among equals. REQUIRES: a weight is above 0.
TokenId WinnerAt(uint64_t seed, int64_t position, TokenWeights& weights);

}  // namespace hadal
