#pragma once

#include <cstdint>

namespace hadal {

/// config.json `scoring_func`: how router logits become scores.
enum class ScoringFunc : int8_t { kSoftmax, kSigmoid };

/// config.json `topk_method`: how scores choose experts.
enum class TopkMethod : int8_t { kGreedy, kGroupLimitedGreedy, kNoauxTc };

}  // namespace hadal
