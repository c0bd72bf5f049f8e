#pragma once

#include <initializer_list>
#include <string_view>

#include <boost/json/value.hpp>

#include "base/json_fields.h"
#include "base/status.h"
#include "engine/text/chat/chat.h"

namespace hadal {

/// Reads `messages`, `tools` and `thinking` of the body of an OpenAI or DeepSeek chat completion
/// request; other fields (model, temperature, …) are the caller's. A bare array is taken as the
/// messages. `content` is a string, a list of {type: "text", text} parts (joined), or null beside
/// tool calls or a reasoning prefix; `thinking` is a bool or {type: "enabled" | "disabled"}. The
/// role "developer" is "system"; a message's `name` and `annotations` are without effect.
/// InvalidArgument, naming the field as in `messages[2].content`, for anything else: unknown roles,
/// fields and types, empty lists of messages, results of calls that nobody made. Unimplemented for
/// `strict: true` of a tool, and for a `refusal`, `audio` or `function_call` of a message.
absl::StatusOr<ChatRequest> ReadChatRequest(const boost::json::value& body);

/// The same of a body that is an object.
absl::StatusOr<ChatRequest> ReadChatRequest(const JsonFields& body);

/// InvalidArgument `path.key: unrecognized field`. A key that is long or odd is quoted in part,
/// behind the path of its object.
absl::Status UnrecognizedField(const JsonFields& fields, std::string_view key);

/// The same, unless every key is one of `known`.
absl::Status CheckRequestFields(const JsonFields& fields,
                                std::initializer_list<std::string_view> known);

/// ParseJson, then ReadChatRequest.
absl::StatusOr<ChatRequest> ParseChatRequest(std::string_view body);

}  // namespace hadal
