#pragma once

#include <cstdint>

#include "base/tensor_view.h"
#include "base/token_id.h"
#include "kernels/kernel.h"

namespace hadal {

/// How one token is chosen, and from which logits.
struct SampleChoice {
  uint64_t seed;
  int64_t position;   // of the token in its sequence
  int64_t row;        // of the logits; several may share one
  float temperature;  // >= 0; 0 takes the highest logit
  int32_t top_k;      // >= 0; 0 keeps all
  float top_p;        // (0, 1]
  float min_p;        // [0, 1]
};

/// One token for each choice. With temperature 0, that of the highest logit. Otherwise a draw:
///   weight[t]  = exp((logits[t] - highest) / temperature) by ExpBelow, so that the best has 1
///   kept       : the heaviest top_k; of these the fewest that hold top_p of their mass; of these
///                all of weight >= min_p
///   token      = the kept t with the least NoiseAt(seed, position, t) / weight[t], which is t with
///                probability weight[t] / sum of the weights that are kept
/// Among equals lower ids come first, everywhere. NaN counts as -inf, which is never chosen; where
/// the highest logit is not finite the token is kNoToken. The mass of a token is its weight rounded
/// to a multiple of 2^-35 (MassOf), so that sums are exact: to top_p, tokens below 1.5e-11 of the
/// best one's weight are nothing.
/// The token is the same on every back end, to the bit: kernels/sample/ has the numbers that are
/// compared, and a promise of theirs. Source: ADR 0022, ADR 0028.
struct SampleArgs {
  TensorView<const float, 2> logits;          // [num_rows, vocab_size]
  TensorView<const SampleChoice, 1> choices;  // [num_choices]
  TensorView<TokenId, 1> token_ids;           // [num_choices]
};

void Validate(const SampleArgs& args);

}  // namespace hadal
