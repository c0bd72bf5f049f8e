#pragma once

#include <memory>
#include <vector>

#include "scheduler/sequence.h"

namespace hadal::test {

/// Tokens first, first + 1, …
inline std::vector<TokenId> Tokens(int64_t count, TokenId first) {
  std::vector<TokenId> tokens;
  for (int64_t i = 0; i < count; ++i) {
    tokens.push_back(first + static_cast<TokenId>(i));
  }
  return tokens;
}

/// A request with this id for `max_new_tokens` after a prompt of `num_prompt_tokens` tokens of its
/// own, greedy.
inline Request MakeRequest(int64_t id, int64_t num_prompt_tokens, int64_t max_new_tokens) {
  Request request;
  request.id = RequestId{id};
  request.prompt = Tokens(num_prompt_tokens, static_cast<TokenId>(1000 * id));
  request.sampling.temperature = 0;
  request.max_new_tokens = max_new_tokens;
  return request;
}

inline std::unique_ptr<LiveRequest> MakeLive(Request request) {
  return std::make_unique<LiveRequest>(std::move(request));
}

}  // namespace hadal::test
