#pragma once

#include <string_view>

#include <boost/json/value.hpp>

#include "base/status.h"
#include "engine/text/chat/chat.h"

namespace hadal {

/// Reads `messages`, `tools` and `thinking` of the body of an OpenAI or DeepSeek chat completion
/// request; other fields (model, temperature, …) are the caller's. A bare array is taken as the
/// messages. `content` is a string, a list of {type: "text", text} parts (joined), or null beside
/// tool calls or a reasoning prefix; `thinking` is a bool or {type: "enabled" | "disabled"}.
/// InvalidArgument, naming the field as in `messages[2].content`, for anything else: unknown roles,
/// wrong types, empty lists of messages, results of calls that nobody made.
absl::StatusOr<ChatRequest> ReadChatRequest(const boost::json::value& body);

/// ParseJson, then ReadChatRequest.
absl::StatusOr<ChatRequest> ParseChatRequest(std::string_view body);

}  // namespace hadal
