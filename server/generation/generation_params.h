#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/token_id.h"
#include "engine/api/sampling_params.h"

namespace hadal {

/// What a caller asks of a generation besides its prompt, in the words of the OpenAI API. Ranges
/// have been checked (generation_limits.h); what depends on model or prompt has not.
struct GenerationParams {
  SamplingParams sampling;            // its seed is void
  std::optional<uint64_t> seed;       // nothing: a fresh one
  std::optional<int64_t> max_tokens;  // of each choice; nothing: what the context leaves
  int64_t min_tokens = 0;             // of each choice, before it may end by itself
  int32_t n = 1;                      // choices
  std::vector<std::string> stop;      // not empty each; looked for in content, not in reasoning
  std::vector<TokenId> stop_token_ids;
  bool ignore_eos = false;
  bool parallel_tool_calls = true;  // false: a choice ends with its first tool call
  std::string cache_salt;           // prefixes are shared among requests with the same one
  int32_t priority = 0;             // lower goes first
  std::optional<Duration> timeout;  // from its arrival
  Duration target_tpot{};           // wished time per output token; 0: none
};

/// Bounds of target_tpot, in milliseconds.
inline constexpr float kMinTargetTpotMs = 0.001F;
inline constexpr float kMaxTargetTpotMs = 60'000;

/// Bounds of what one request may ask for.
struct GenerationLimits {
  int32_t max_n = 8;
  int32_t max_logprobs = 20;
  int32_t max_stop_strings = 16;
  int64_t max_stop_bytes = 256;  // of each stop string
  int32_t max_stop_token_ids = 64;
  int32_t max_logit_bias = 1024;
  int32_t max_messages = 2048;
  int32_t max_content_parts = 256;  // of a message
  int32_t max_tools = 128;
  int64_t max_tool_bytes = 64 << 10;    // of each tool as JSON
  int64_t max_tools_bytes = 256 << 10;  // of all tools as JSON
  int32_t max_prompts = 64;             // of a completion request
  int64_t max_text_bytes = 512;         // of user, metadata values, cache_salt
  int32_t min_priority = 0;             // most urgent that a client may ask for
  int32_t max_priority = 1000;
  Duration max_timeout = std::chrono::seconds(600);
};

}  // namespace hadal
