#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "base/token_id.h"
#include "server/cli/model/loaded_model.h"

namespace hadal {

/// How far two models that should agree are apart, over every place of some texts that has a next
/// token.
struct Quality {
  int64_t num_tokens = 0;  // places
  double expected_perplexity = 1;
  double perplexity = 1;
  double rms_logit_error = 0;
  double mean_divergence = 0;  // Kullback-Leibler, of the expected next token's distribution from
                               // the other, in nats

  [[nodiscard]] double perplexity_ratio() const { return perplexity / expected_perplexity; }
};

/// Runs `texts` through both models, which have one vocabulary. A text that is longer than a window
/// of 1024 tokens, or than the context, is cut into such. ResourceExhausted when a cache finds no
/// room.
absl::StatusOr<Quality> MeasureQuality(std::span<const std::vector<TokenId>> texts,
                                       LoadedModel& expected,
                                       LoadedModel& actual);

}  // namespace hadal
