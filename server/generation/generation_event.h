#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/api/finish_reason.h"
#include "engine/text/answer/answer.h"
#include "scheduler/request.h"

namespace hadal {

/// A token as text: `bytes` need not be whole characters.
struct TokenText {
  TokenId token = 0;
  std::string bytes;
  float logprob = 0;
};

/// A token of the content with its log-probability and those of the most probable ones.
struct ContentLogprob {
  TokenText chosen;
  std::vector<TokenText> top = {};  // best first
};

/// What comes next of one choice.
struct ChoiceDelta {
  int32_t choice = 0;
  std::vector<AnswerDelta> parts = {};        // of a text completion: kContent alone
  std::vector<ContentLogprob> logprobs = {};  // when asked for: of the content's tokens, each once
  std::optional<FinishReason> finish = {};    // set: the choice's last delta
};

/// Tokens spent on a request so far.
struct Usage {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;  // of all choices
  int64_t reasoning_tokens = 0;   // of these
  int64_t drafted_tokens = 0;     // of completion_tokens, those that took no step of their own
  CacheReport cache;              // of prompt_tokens, cache.cached_tokens were in the prefix cache
};

}  // namespace hadal
