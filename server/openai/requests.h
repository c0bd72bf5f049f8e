#pragma once

// The bodies of requests, read and checked. Every field of the API is known: it is supported, or
// accepted without effect because it has none on the answer (user, metadata, …), or refused by
// name. So is a field that nobody knows. Absent and null mean the same.

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <boost/json/value.hpp>

#include "base/status.h"
#include "base/token_id.h"
#include "engine/text/chat/chat.h"
#include "server/generation/generation_params.h"

namespace hadal {

/// How the answer is to be sent.
struct Delivery {
  bool stream = false;
  bool include_usage = false;        // of a stream: a last chunk with the usage
  bool include_obfuscation = false;  // of a stream: pad chunks to size classes
};

/// POST /v1/chat/completions.
struct ChatCall {
  std::string model;
  ChatRequest chat;
  GenerationParams params;
  Delivery delivery;
};

/// POST /v1/completions and, with `suffix`, /beta/completions.
struct CompletionCall {
  using Prompt = std::variant<std::string, std::vector<TokenId>>;

  std::string model;
  std::vector<Prompt> prompts;        // at least one; text may be empty, tokens are not
  std::optional<std::string> suffix;  // fill in the middle: what follows the completion
  bool echo = false;                  // answer with the prompt in front
  GenerationParams params;            // n is that of each prompt
  Delivery delivery;
};

/// POST /tokenize: exactly one of text and chat is set.
struct TokenizeCall {
  std::string model;
  std::optional<std::string> text;
  std::optional<ChatRequest> chat;
  bool add_special_tokens = true;  // text: begin with the token that the checkpoint asks for
  bool return_token_strs = false;
};

/// POST /detokenize.
struct DetokenizeCall {
  std::string model;
  std::vector<TokenId> tokens;  // not negative; the vocabulary is not known here
};

/// Each reads a parsed body. InvalidArgument or Unimplemented, "path: what is wrong", for anything
/// that is not as the API has it; the path of the body itself is "request body". `model` is empty
/// when the body has none. Any thread.
absl::StatusOr<ChatCall> ReadChatCall(const boost::json::value& body,
                                      const GenerationLimits& limits);
absl::StatusOr<CompletionCall> ReadCompletionCall(const boost::json::value& body,
                                                  const GenerationLimits& limits);
absl::StatusOr<TokenizeCall> ReadTokenizeCall(const boost::json::value& body,
                                              const GenerationLimits& limits);
absl::StatusOr<DetokenizeCall> ReadDetokenizeCall(const boost::json::value& body,
                                                  const GenerationLimits& limits);

}  // namespace hadal
