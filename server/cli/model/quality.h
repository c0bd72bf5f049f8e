#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "base/token_id.h"
#include "server/cli/model/loaded_model.h"

namespace hadal {

/// A text, and from which of its tokens on a model's prediction counts: 1 for all that have
/// something before them.
struct ScoredText {
  std::vector<TokenId> tokens;
  int64_t first_scored = 1;
};

/// How far two models that should agree are apart, over all places of some texts where a
/// prediction counts.
struct Quality {
  int64_t num_tokens = 0;  // places
  double expected_perplexity = 1;
  double perplexity = 1;
  double rms_logit_error = 0;
  double mean_divergence = 0;  // Kullback-Leibler, of the expected next token's distribution from
                               // the other, in nats

  [[nodiscard]] double perplexity_ratio() const { return perplexity / expected_perplexity; }
};

/// Runs `texts` through both models, which have one vocabulary. ResourceExhausted when a cache
/// finds no room. REQUIRES: texts that CheckPrompt takes.
absl::StatusOr<Quality> MeasureQuality(std::span<const ScoredText> texts,
                                       LoadedModel& expected,
                                       LoadedModel& actual);

}  // namespace hadal
