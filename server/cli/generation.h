#pragma once

#include <optional>
#include <string>
#include <vector>

#include <absl/functional/function_ref.h>

#include "base/status.h"
#include "engine/api/finish_reason.h"
#include "engine/sample/sampler.h"
#include "engine/sequence_runner.h"
#include "engine/text/stop_matcher.h"
#include "engine/text/tokenizer.h"

namespace hadal {

/// What was generated. Text is before any stop string; tokens include the one that stopped.
struct GeneratedSequence {
  std::vector<SampledToken> tokens;
  std::string text;  // empty without a tokenizer
  FinishReason finish_reason = FinishReason::kLength;
};

struct GenerationArgs {
  SequenceRunner& sequence;            // empty, with room for prompt and max_tokens
  const std::vector<TokenId>& prompt;  // not empty
  int64_t max_tokens;
  Sampler& sampler;  // of the model's vocabulary
  const SamplingParams& sampling;
  const std::vector<TokenId>& stop_token_ids;
  StopMatcher stop_matcher;    // new
  const Tokenizer* tokenizer;  // null: tokens only, no text to match
};

/// Generates one sequence. Calls `emit` with each piece of text as soon as it can't change any
/// more. InvalidArgument for an empty stop string; the errors of Sampler::Sample.
absl::StatusOr<GeneratedSequence> Generate(GenerationArgs args,
                                           absl::FunctionRef<void(std::string_view text)> emit);

}  // namespace hadal
