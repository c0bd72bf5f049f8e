#include "engine/text/chat/chat_json.h"

#include <string>
#include <utility>

#include <absl/container/flat_hash_set.h>

#include "base/json.h"
#include "engine/text/chat/python_json.h"
#include "engine/text/json_fields.h"

namespace hadal {
namespace {

using boost::json::array;
using boost::json::object;
using boost::json::value;

absl::StatusOr<Role> ReadRole(const object& message, std::string_view path) {
  ASSIGN_OR_RETURN(const std::string_view role, RequireString(message, "role", path));
  if (role == "system") {
    return Role::kSystem;
  }
  if (role == "user") {
    return Role::kUser;
  }
  if (role == "assistant") {
    return Role::kAssistant;
  }
  if (role == "tool") {
    return Role::kTool;
  }
  return InvalidArgument("%s.role: unknown role \"%s\"", path, role);
}

// Joins the text of {type: "text", text} parts.
absl::StatusOr<std::string> ReadParts(const array& parts, std::string_view path) {
  std::string content;
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string part_path = IndexPath(path, i);
    ASSIGN_OR_RETURN(const object* part, AsObject(parts[i], part_path));
    ASSIGN_OR_RETURN(const std::string_view type, RequireString(*part, "type", part_path));
    if (type != "text") {
      return InvalidArgument("%s.type: \"%s\" (only \"text\" is supported)", part_path, type);
    }
    ASSIGN_OR_RETURN(const std::string_view text, RequireString(*part, "text", part_path));
    content.append(text);
  }
  return content;
}

absl::StatusOr<std::string> ReadContent(const value& content, std::string_view path) {
  if (content.is_array()) {
    return ReadParts(content.get_array(), path);
  }
  if (!content.is_string()) {
    return InvalidArgument("%s: expected a string or a list of text parts", path);
  }
  return std::string(content.get_string().data(), content.get_string().size());
}

// The member `function` of a tool or a tool call, whose `type` must be "function".
absl::StatusOr<const object*> ReadFunction(const object& holder, std::string_view path) {
  ASSIGN_OR_RETURN(const std::string_view type, RequireString(holder, "type", path));
  if (type != "function") {
    return InvalidArgument("%s.type: \"%s\" (only \"function\" is supported)", path, type);
  }
  ASSIGN_OR_RETURN(const value* function, RequireField(holder, "function", path));
  return AsObject(*function, JoinPath(path, "function"));
}

absl::StatusOr<std::string> ReadName(const object& function, std::string_view path) {
  const std::string function_path = JoinPath(path, "function");
  ASSIGN_OR_RETURN(const std::string_view name, RequireString(function, "name", function_path));
  if (name.empty()) {
    return InvalidArgument("%s.name: empty", function_path);
  }
  return std::string(name);
}

absl::StatusOr<std::vector<ToolCall>> ReadToolCalls(const value& json, std::string_view path) {
  ASSIGN_OR_RETURN(const array* list, AsArray(json, path));
  std::vector<ToolCall> calls;
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string call_path = IndexPath(path, i);
    ASSIGN_OR_RETURN(const object* fields, AsObject((*list)[i], call_path));
    ASSIGN_OR_RETURN(const std::string_view id, RequireString(*fields, "id", call_path));
    ASSIGN_OR_RETURN(const object* function, ReadFunction(*fields, call_path));
    ASSIGN_OR_RETURN(std::string name, ReadName(*function, call_path));
    ASSIGN_OR_RETURN(const std::string_view arguments,
                     RequireString(*function, "arguments", JoinPath(call_path, "function")));
    calls.push_back({std::string(id), std::move(name), std::string(arguments)});
  }
  return calls;
}

absl::Status ReadAssistantFields(const object& fields, std::string_view path, Message& message) {
  if (const value* reasoning = FindField(fields, "reasoning_content")) {
    const std::string reasoning_path = JoinPath(path, "reasoning_content");
    ASSIGN_OR_RETURN(message.reasoning_content, AsString(*reasoning, reasoning_path));
  }
  if (const value* calls = FindField(fields, "tool_calls")) {
    ASSIGN_OR_RETURN(message.tool_calls, ReadToolCalls(*calls, JoinPath(path, "tool_calls")));
  }
  ASSIGN_OR_RETURN(message.prefix, BoolOr(fields, "prefix", false, path));
  if (message.prefix && !message.tool_calls.empty()) {
    return InvalidArgument("%s.prefix: not beside tool_calls", path);
  }
  return absl::OkStatus();
}

absl::StatusOr<Message> ReadMessage(const value& json, std::string_view path) {
  Message message;
  ASSIGN_OR_RETURN(const object* fields, AsObject(json, path));
  ASSIGN_OR_RETURN(message.role, ReadRole(*fields, path));
  if (message.role == Role::kAssistant) {
    RETURN_IF_ERROR(ReadAssistantFields(*fields, path, message));
  } else {
    for (const std::string_view key : {"reasoning_content", "tool_calls", "prefix"}) {
      if (FindField(*fields, key) != nullptr) {
        return InvalidArgument("%s.%s: only for the role \"assistant\"", path, key);
      }
    }
  }
  if (message.role == Role::kTool) {
    ASSIGN_OR_RETURN(message.tool_call_id, RequireString(*fields, "tool_call_id", path));
  } else if (FindField(*fields, "tool_call_id") != nullptr) {
    return InvalidArgument("%s.tool_call_id: only for the role \"tool\"", path);
  }
  const value* content = FindField(*fields, "content");
  const bool may_lack_content =
      !message.tool_calls.empty() || (message.prefix && !message.reasoning_content.empty());
  if (content != nullptr) {
    ASSIGN_OR_RETURN(message.content, ReadContent(*content, JoinPath(path, "content")));
  } else if (!may_lack_content) {
    return InvalidArgument("%s.content: missing", path);
  }
  return message;
}

absl::StatusOr<std::vector<Message>> ReadMessages(const value& json) {
  constexpr std::string_view kPath = "messages";
  ASSIGN_OR_RETURN(const array* list, AsArray(json, kPath));
  if (list->empty()) {
    return InvalidArgument("messages: empty");
  }
  std::vector<Message> messages;
  absl::flat_hash_set<std::string> call_ids;
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string path = IndexPath(kPath, i);
    ASSIGN_OR_RETURN(Message message, ReadMessage((*list)[i], path));
    if (message.prefix && i + 1 < list->size()) {
      return InvalidArgument("%s.prefix: only on the last message", path);
    }
    if (message.role == Role::kTool && !call_ids.contains(message.tool_call_id)) {
      return InvalidArgument(
          "%s.tool_call_id: no call before has the id \"%s\"", path, message.tool_call_id);
    }
    for (const ToolCall& call : message.tool_calls) {
      call_ids.insert(call.id);
    }
    messages.push_back(std::move(message));
  }
  return messages;
}

absl::StatusOr<Tool> ReadTool(const value& json, std::string_view path) {
  ASSIGN_OR_RETURN(const object* fields, AsObject(json, path));
  ASSIGN_OR_RETURN(const object* function, ReadFunction(*fields, path));
  const std::string function_path = JoinPath(path, "function");
  Tool tool;
  ASSIGN_OR_RETURN(tool.name, ReadName(*function, path));
  if (const value* description = FindField(*function, "description")) {
    const std::string description_path = JoinPath(function_path, "description");
    ASSIGN_OR_RETURN(tool.description, AsString(*description, description_path));
  }
  const value* parameters = FindField(*function, "parameters");
  if (parameters != nullptr && !parameters->is_object()) {
    return InvalidArgument("%s.parameters: expected an object", function_path);
  }
  // No parameters means a function without any.
  tool.parameters = parameters == nullptr ? "{}" : ToPythonJson(*parameters);
  tool.json = ToPythonJson(json);
  return tool;
}

absl::StatusOr<std::vector<Tool>> ReadTools(const value& json) {
  constexpr std::string_view kPath = "tools";
  ASSIGN_OR_RETURN(const array* list, AsArray(json, kPath));
  std::vector<Tool> tools;
  absl::flat_hash_set<std::string> names;
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string path = IndexPath(kPath, i);
    ASSIGN_OR_RETURN(Tool tool, ReadTool((*list)[i], path));
    if (!names.insert(tool.name).second) {
      return InvalidArgument("%s.function.name: \"%s\" occurs twice", path, tool.name);
    }
    tools.push_back(std::move(tool));
  }
  return tools;
}

absl::StatusOr<Thinking> ReadThinking(const value& json) {
  if (json.is_bool()) {
    return json.get_bool() ? Thinking::kEnabled : Thinking::kDisabled;
  }
  if (!json.is_object()) {
    return InvalidArgument("thinking: expected a bool or an object");
  }
  ASSIGN_OR_RETURN(const std::string_view type,
                   RequireString(json.get_object(), "type", "thinking"));
  if (type == "enabled") {
    return Thinking::kEnabled;
  }
  if (type == "disabled") {
    return Thinking::kDisabled;
  }
  return InvalidArgument("thinking.type: \"%s\" (\"enabled\" or \"disabled\")", type);
}

}  // namespace

absl::StatusOr<ChatRequest> ReadChatRequest(const value& body) {
  ChatRequest request;
  if (body.is_array()) {
    ASSIGN_OR_RETURN(request.messages, ReadMessages(body));
    return request;
  }
  ASSIGN_OR_RETURN(const object* fields, AsObject(body, "request body"));
  ASSIGN_OR_RETURN(const value* messages, RequireField(*fields, "messages", ""));
  ASSIGN_OR_RETURN(request.messages, ReadMessages(*messages));
  if (const value* tools = FindField(*fields, "tools")) {
    ASSIGN_OR_RETURN(request.tools, ReadTools(*tools));
  }
  if (const value* thinking = FindField(*fields, "thinking")) {
    ASSIGN_OR_RETURN(request.thinking, ReadThinking(*thinking));
  }
  return request;
}

absl::StatusOr<ChatRequest> ParseChatRequest(std::string_view body) {
  ASSIGN_OR_RETURN(const value json, ParseJson(body));
  return ReadChatRequest(json);
}

}  // namespace hadal
