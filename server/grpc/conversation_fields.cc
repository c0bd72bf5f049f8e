#include "server/grpc/conversation_fields.h"

#include <string>
#include <utility>

#include <absl/container/flat_hash_set.h>
#include <boost/json/object.hpp>

#include "base/json.h"
#include "engine/text/chat/python_json.h"
#include "proto/hadal/v1/inference.pb.h"

namespace hadal {
namespace {

std::string PathOf(std::string_view list, int index) {
  return absl::StrFormat("conversation.%s[%d]", list, index);
}

absl::StatusOr<Role> ReadRole(v1::Role role, std::string_view path) {
  switch (role) {
    case v1::ROLE_SYSTEM:
      return Role::kSystem;
    case v1::ROLE_USER:
      return Role::kUser;
    case v1::ROLE_ASSISTANT:
      return Role::kAssistant;
    case v1::ROLE_TOOL:
      return Role::kTool;
    default:
      return InvalidArgument("%s.role: unknown or not there", path);
  }
}

absl::Status CheckRoleFields(const v1::Message& message, Role role, std::string_view path) {
  if (role != Role::kAssistant &&
      (!message.reasoning_content().empty() || message.tool_calls_size() > 0 || message.prefix())) {
    return InvalidArgument(
        "%s: reasoning_content, tool_calls and prefix are for the assistant only", path);
  }
  if (role != Role::kTool && !message.tool_call_id().empty()) {
    return InvalidArgument("%s.tool_call_id: only for the role of tools", path);
  }
  if (message.prefix() && message.tool_calls_size() > 0) {
    return InvalidArgument("%s.prefix: not beside tool_calls", path);
  }
  const bool may_lack_content =
      message.tool_calls_size() > 0 || (message.prefix() && !message.reasoning_content().empty());
  if (!message.has_content() && !may_lack_content) {
    return InvalidArgument("%s.content: missing", path);
  }
  return absl::OkStatus();
}

absl::StatusOr<Message> ReadMessageFields(const v1::Message& message, std::string_view path) {
  Message result;
  ASSIGN_OR_RETURN(result.role, ReadRole(message.role(), path));
  RETURN_IF_ERROR(CheckRoleFields(message, result.role, path));
  result.content = message.content();
  result.reasoning_content = message.reasoning_content();
  for (const v1::ToolCall& call : message.tool_calls()) {
    if (call.name().empty()) {
      return InvalidArgument("%s.tool_calls.name: empty", path);
    }
    result.tool_calls.push_back(
        {.id = call.id(), .name = call.name(), .arguments = call.arguments()});
  }
  result.tool_call_id = message.tool_call_id();
  result.prefix = message.prefix();
  return result;
}

absl::StatusOr<std::vector<Message>> ReadMessages(const v1::Conversation& conversation) {
  std::vector<Message> messages;
  absl::flat_hash_set<std::string> call_ids;
  for (int i = 0; i < conversation.messages_size(); ++i) {
    const std::string path = PathOf("messages", i);
    ASSIGN_OR_RETURN(Message message, ReadMessageFields(conversation.messages(i), path));
    if (message.prefix && i + 1 < conversation.messages_size()) {
      return InvalidArgument("%s.prefix: only on the last message", path);
    }
    if (message.role == Role::kTool && !call_ids.contains(message.tool_call_id)) {
      return InvalidArgument("%s.tool_call_id: no call before has that id", path);
    }
    for (const ToolCall& call : message.tool_calls) {
      call_ids.insert(call.id);
    }
    messages.push_back(std::move(message));
  }
  return messages;
}

// In the order in which models have seen the members: name, description, parameters.
absl::StatusOr<Tool> ReadTool(const v1::Tool& message, std::string_view path) {
  if (message.name().empty()) {
    return InvalidArgument("%s.name: empty", path);
  }
  Tool tool;
  tool.name = message.name();
  tool.description = message.description();
  tool.parameters = "{}";
  boost::json::object function;
  function["name"] = message.name();
  if (!message.description().empty()) {
    function["description"] = message.description();
  }
  if (!message.parameters().empty()) {
    absl::StatusOr<boost::json::value> parameters = ParseJson(message.parameters());
    RETURN_IF_ERROR(Annotate(parameters.status(), absl::StrFormat("%s.parameters", path)));
    if (!parameters->is_object()) {
      return InvalidArgument("%s.parameters: expected a JSON object", path);
    }
    tool.parameters = ToPythonJson(*parameters);
    function["parameters"] = *std::move(parameters);
  }
  tool.function = ToIndentedPythonJson(function);
  return tool;
}

absl::StatusOr<std::vector<Tool>> ReadTools(const v1::Conversation& conversation,
                                            const GenerationLimits& limits) {
  size_t num_bytes = 0;
  for (int i = 0; i < conversation.tools_size(); ++i) {
    const size_t tool_bytes = conversation.tools(i).ByteSizeLong();
    if (tool_bytes > static_cast<size_t>(limits.max_tool_bytes)) {
      return InvalidArgument("%s: at most %d bytes are allowed, found %d",
                             PathOf("tools", i),
                             limits.max_tool_bytes,
                             tool_bytes);
    }
    num_bytes += tool_bytes;
  }
  if (num_bytes > static_cast<size_t>(limits.max_tools_bytes)) {
    return InvalidArgument("conversation.tools: at most %d bytes are allowed, found %d",
                           limits.max_tools_bytes,
                           num_bytes);
  }
  std::vector<Tool> tools;
  absl::flat_hash_set<std::string> names;
  for (int i = 0; i < conversation.tools_size(); ++i) {
    const std::string path = PathOf("tools", i);
    ASSIGN_OR_RETURN(Tool tool, ReadTool(conversation.tools(i), path));
    if (!names.insert(tool.name).second) {
      return InvalidArgument("%s.name: another tool has the same", path);
    }
    tools.push_back(std::move(tool));
  }
  return tools;
}

absl::StatusOr<Thinking> ReadThinking(v1::Thinking thinking) {
  switch (thinking) {
    case v1::THINKING_UNSPECIFIED:
      return Thinking::kDefault;
    case v1::THINKING_ENABLED:
      return Thinking::kEnabled;
    case v1::THINKING_DISABLED:
      return Thinking::kDisabled;
    default:
      return InvalidArgument("conversation.thinking: unknown");
  }
}

}  // namespace

absl::StatusOr<ChatRequest> ReadConversation(const v1::Conversation& message,
                                             const GenerationLimits& limits) {
  if (message.messages_size() == 0) {
    return InvalidArgument("conversation.messages: empty");
  }
  if (message.messages_size() > limits.max_messages) {
    return InvalidArgument("conversation.messages: at most %d messages are allowed, found %d",
                           limits.max_messages,
                           message.messages_size());
  }
  if (message.tools_size() > limits.max_tools) {
    return InvalidArgument("conversation.tools: at most %d tools are allowed, found %d",
                           limits.max_tools,
                           message.tools_size());
  }
  ChatRequest request;
  ASSIGN_OR_RETURN(request.messages, ReadMessages(message));
  ASSIGN_OR_RETURN(request.tools, ReadTools(message, limits));
  ASSIGN_OR_RETURN(request.thinking, ReadThinking(message.thinking()));
  return request;
}

}  // namespace hadal
