#include "server/openai/chat_request.h"

#include <algorithm>
#include <array>

#include <boost/json/serializer.hpp>

#include "engine/text/chat/chat_json.h"
#include "server/openai/generation_fields.h"
#include "server/openai/request_fields.h"
#include "server/openai/requests.h"

namespace hadal {
namespace {

using boost::json::array;
using boost::json::value;

// The bytes of `json` as text without blanks, counted no further than one piece beyond `max`.
size_t CountBytes(const value& json, int64_t max) {
  std::array<char, 4096> piece;
  boost::json::serializer serializer;
  serializer.reset(&json);
  size_t num_bytes = 0;
  while (!serializer.done() && num_bytes <= static_cast<size_t>(max)) {
    num_bytes += serializer.read(piece.data(), piece.size()).size();
  }
  return num_bytes;
}

absl::Status CheckToolSizes(const array& tools, const GenerationLimits& limits) {
  RETURN_IF_ERROR(CheckAtMost("tools", limits.max_tools, "tools", tools.size()));
  size_t num_bytes = 0;
  for (size_t i = 0; i < tools.size(); ++i) {
    const size_t tool_bytes = CountBytes(tools[i], limits.max_tool_bytes);
    if (tool_bytes > static_cast<size_t>(limits.max_tool_bytes)) {
      return InvalidArgument("%s: at most %d bytes of JSON are allowed, found more",
                             PathOfItem("tools", i),
                             limits.max_tool_bytes);
    }
    num_bytes += tool_bytes;
  }
  return CheckAtMost("tools", limits.max_tools_bytes, "bytes of JSON", num_bytes);
}

// Wrong types are left to the reader.
absl::Status CheckSizes(const JsonFields& body, const GenerationLimits& limits) {
  const value* const messages = body.Find("messages");
  if (messages != nullptr && messages->is_array()) {
    const array& list = messages->get_array();
    RETURN_IF_ERROR(CheckAtMost("messages", limits.max_messages, "messages", list.size()));
    for (size_t i = 0; i < list.size(); ++i) {
      const value* const content =
          list[i].is_object() ? list[i].get_object().if_contains("content") : nullptr;
      if (content != nullptr && content->is_array()) {
        RETURN_IF_ERROR(CheckAtMost(PathOfItem("messages", i) + ".content",
                                    limits.max_content_parts,
                                    "parts",
                                    content->get_array().size()));
      }
    }
  }
  const value* const tools = body.Find("tools");
  if (tools != nullptr && tools->is_array()) {
    return CheckToolSizes(tools->get_array(), limits);
  }
  return absl::OkStatus();
}

enum class ToolChoice : int8_t { kAuto, kNone };

absl::StatusOr<ToolChoice> ReadToolChoice(const JsonFields& body) {
  const value* const choice = body.Find("tool_choice");
  if (choice == nullptr) {
    return ToolChoice::kAuto;
  }
  if (choice->is_string()) {
    if (choice->get_string() == "auto") {
      return ToolChoice::kAuto;
    }
    if (choice->get_string() == "none") {
      return ToolChoice::kNone;
    }
  } else if (!choice->is_object()) {
    return body.Unexpected("tool_choice", "\"auto\" or \"none\"");
  }
  return body.Unsupported("tool_choice", "\"auto\" or \"none\"");
}

// Adds what the field at `path` says to what others have said.
absl::Status Decide(std::string_view path, Thinking said, Thinking& thinking) {
  if (thinking != Thinking::kDefault && thinking != said) {
    return InvalidArgument("%s: contradicts what other fields say about thinking", path);
  }
  thinking = said;
  return absl::OkStatus();
}

absl::Status ReadReasoningEffort(const JsonFields& body, Thinking& thinking) {
  constexpr std::string_view kEfforts[] = {"minimal", "low", "medium", "high", "max", "xhigh"};
  if (body.Find("reasoning_effort") == nullptr) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::string_view effort, body.String("reasoning_effort"));
  if (effort == "none") {
    return Decide("reasoning_effort", Thinking::kDisabled, thinking);
  }
  if (std::find(std::begin(kEfforts), std::end(kEfforts), effort) == std::end(kEfforts)) {
    return body.Unexpected("reasoning_effort", "none, minimal, low, medium, high, xhigh or max");
  }
  return absl::OkStatus();
}

absl::Status ReadTemplateKwargs(const JsonFields& body, Thinking& thinking) {
  if (body.Find("chat_template_kwargs") == nullptr) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const JsonFields kwargs, body.Object("chat_template_kwargs"));
  RETURN_IF_ERROR(CheckRequestFields(kwargs, {"thinking", "enable_thinking"}));
  for (const std::string_view key : {"thinking", "enable_thinking"}) {
    if (kwargs.Find(key) != nullptr) {
      ASSIGN_OR_RETURN(const bool enabled, kwargs.BoolOr(key, false));
      RETURN_IF_ERROR(
          Decide(kwargs.PathOf(key), enabled ? Thinking::kEnabled : Thinking::kDisabled, thinking));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckModalities(const JsonFields& body) {
  if (body.Find("modalities") == nullptr) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const array* const modalities, body.Array("modalities"));
  for (size_t i = 0; i < modalities->size(); ++i) {
    ASSIGN_OR_RETURN(const std::string_view modality,
                     ReadString((*modalities)[i], PathOfItem("modalities", i)));
    if (modality != "text") {
      return Unimplemented("modalities: only [\"text\"] is supported");
    }
  }
  return modalities->size() == 1 ? absl::OkStatus() : body.Unexpected("modalities", "[\"text\"]");
}

// -1: none.
absl::StatusOr<int32_t> ReadNumLogprobs(const JsonFields& body, const GenerationLimits& limits) {
  ASSIGN_OR_RETURN(const bool logprobs, body.BoolOr("logprobs", false));
  ASSIGN_OR_RETURN(const int64_t top, body.IntOr("top_logprobs", {0, limits.max_logprobs}, 0));
  if (top > 0 && !logprobs) {
    return InvalidArgument("top_logprobs: only with \"logprobs\": true");
  }
  return logprobs ? static_cast<int32_t>(top) : -1;
}

absl::StatusOr<std::optional<int64_t>> ReadMaxTokens(const JsonFields& body) {
  std::optional<int64_t> max_tokens;
  for (const std::string_view key : {"max_tokens", "max_completion_tokens"}) {  // the last wins
    if (body.Find(key) != nullptr) {
      ASSIGN_OR_RETURN(max_tokens, body.Int(key, kTokenCounts));
    }
  }
  return max_tokens;
}

}  // namespace

absl::StatusOr<ChatRequest> ReadChatFields(const JsonFields& body, const GenerationLimits& limits) {
  RETURN_IF_ERROR(CheckSizes(body, limits));
  ASSIGN_OR_RETURN(ChatRequest chat, ReadChatRequest(body));
  ASSIGN_OR_RETURN(const ToolChoice tool_choice, ReadToolChoice(body));
  if (tool_choice == ToolChoice::kNone) {
    chat.tools.clear();
  }
  RETURN_IF_ERROR(ReadTemplateKwargs(body, chat.thinking));
  RETURN_IF_ERROR(ReadReasoningEffort(body, chat.thinking));
  return chat;
}

absl::StatusOr<ChatCall> ReadChatCall(const value& body, const GenerationLimits& limits) {
  ChatCall call;
  ASSIGN_OR_RETURN(const JsonFields fields, JsonFields::Of(body, "", "request body"));
  RETURN_IF_ERROR(CheckFields(Endpoint::kChat, fields, limits));
  ASSIGN_OR_RETURN(call.model, ReadModel(fields, limits));
  ASSIGN_OR_RETURN(call.params, ReadGenerationParams(fields, limits));
  ASSIGN_OR_RETURN(call.params.max_tokens, ReadMaxTokens(fields));
  RETURN_IF_ERROR(CheckTokenCounts(call.params));
  ASSIGN_OR_RETURN(call.params.sampling.num_logprobs, ReadNumLogprobs(fields, limits));
  ASSIGN_OR_RETURN(call.params.parallel_tool_calls, fields.BoolOr("parallel_tool_calls", true));
  RETURN_IF_ERROR(CheckModalities(fields));
  ASSIGN_OR_RETURN(call.delivery, ReadDelivery(fields));
  ASSIGN_OR_RETURN(call.chat, ReadChatFields(fields, limits));
  return call;
}

}  // namespace hadal
