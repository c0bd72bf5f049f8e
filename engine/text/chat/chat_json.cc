#include "engine/text/chat/chat_json.h"

#include <algorithm>
#include <string>
#include <utility>

#include <absl/container/flat_hash_set.h>
#include <absl/strings/ascii.h>

#include "base/json.h"
#include "base/json_fields.h"
#include "engine/text/chat/python_json.h"

namespace hadal {
namespace {

using boost::json::array;
using boost::json::value;

// The member `key`, a string, is another than the one that is supported.
absl::Status OnlySupported(const JsonFields& fields,
                           std::string_view key,
                           std::string_view supported) {
  return InvalidArgument("%s: %s (only \"%s\" is supported)",
                         fields.PathOf(key),
                         DescribeJson(*fields.Find(key)),
                         supported);
}

absl::StatusOr<Role> ReadRole(const JsonFields& message) {
  ASSIGN_OR_RETURN(const std::string_view role, message.String("role"));
  if (role == "system" || role == "developer") {  // what newer clients call it
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
  return InvalidArgument(
      "%s: unknown role %s", message.PathOf("role"), DescribeJson(*message.Find("role")));
}

// Joins the text of {type: "text", text} parts.
absl::StatusOr<std::string> ReadParts(const array& parts, std::string_view path) {
  std::string content;
  for (size_t i = 0; i < parts.size(); ++i) {
    ASSIGN_OR_RETURN(const JsonFields part, JsonFields::Of(parts[i], PathOfItem(path, i), ""));
    ASSIGN_OR_RETURN(const std::string_view type, part.String("type"));
    if (type != "text") {
      return OnlySupported(part, "type", "text");
    }
    RETURN_IF_ERROR(CheckRequestFields(part, {"type", "text"}));
    ASSIGN_OR_RETURN(const std::string_view text, part.String("text"));
    content.append(text);
  }
  return content;
}

absl::StatusOr<std::string> ReadContent(const JsonFields& message) {
  ASSIGN_OR_RETURN(const value* content, message.Value("content"));
  if (content->is_array()) {
    return ReadParts(content->get_array(), message.PathOf("content"));
  }
  if (!content->is_string()) {
    return message.Unexpected("content", "a string or a list of text parts");
  }
  return std::string(content->get_string().data(), content->get_string().size());
}

// The member `function` of a tool or a tool call, whose `type` must be "function".
absl::StatusOr<JsonFields> ReadFunction(const JsonFields& holder) {
  ASSIGN_OR_RETURN(const std::string_view type, holder.String("type"));
  if (type != "function") {
    return OnlySupported(holder, "type", "function");
  }
  return holder.Object("function");
}

absl::StatusOr<std::string> ReadName(const JsonFields& function) {
  ASSIGN_OR_RETURN(const std::string_view name, function.String("name"));
  if (name.empty()) {
    return InvalidArgument("%s: empty", function.PathOf("name"));
  }
  return std::string(name);
}

absl::StatusOr<std::vector<ToolCall>> ReadToolCalls(const array& list, std::string_view path) {
  std::vector<ToolCall> calls;
  for (size_t i = 0; i < list.size(); ++i) {
    ASSIGN_OR_RETURN(const JsonFields call, JsonFields::Of(list[i], PathOfItem(path, i), ""));
    ASSIGN_OR_RETURN(const std::string_view id, call.String("id"));
    ASSIGN_OR_RETURN(const JsonFields function, ReadFunction(call));
    RETURN_IF_ERROR(CheckRequestFields(call, {"id", "type", "function", "index"}));
    RETURN_IF_ERROR(CheckRequestFields(function, {"name", "arguments"}));
    ASSIGN_OR_RETURN(std::string name, ReadName(function));
    ASSIGN_OR_RETURN(const std::string_view arguments, function.String("arguments"));
    calls.push_back({std::string(id), std::move(name), std::string(arguments)});
  }
  return calls;
}

absl::Status ReadAssistantFields(const JsonFields& fields, Message& message) {
  ASSIGN_OR_RETURN(message.reasoning_content, fields.StringOr("reasoning_content", ""));
  if (fields.Find("tool_calls") != nullptr) {
    ASSIGN_OR_RETURN(const array* calls, fields.Array("tool_calls"));
    ASSIGN_OR_RETURN(message.tool_calls, ReadToolCalls(*calls, fields.PathOf("tool_calls")));
  }
  ASSIGN_OR_RETURN(message.prefix, fields.BoolOr("prefix", false));
  if (message.prefix && !message.tool_calls.empty()) {
    return InvalidArgument("%s: not beside tool_calls", fields.PathOf("prefix"));
  }
  return absl::OkStatus();
}

// What messages of the API may have besides, which clients send back as they got it.
absl::Status CheckOtherFields(const JsonFields& fields) {
  RETURN_IF_ERROR(CheckRequestFields(fields,
                                     {"role",
                                      "content",
                                      "reasoning_content",
                                      "tool_calls",
                                      "tool_call_id",
                                      "prefix",
                                      "name",
                                      "annotations",
                                      "refusal",
                                      "audio",
                                      "function_call"}));
  for (const std::string_view key : {"refusal", "audio", "function_call"}) {
    if (fields.Find(key) != nullptr) {
      return fields.Unsupported(key, "null");
    }
  }
  if (fields.Find("annotations") != nullptr) {  // links of an answer, of no use to the model
    RETURN_IF_ERROR(fields.Array("annotations").status());
  }
  return fields.StringOr("name", "").status();  // no chat format has a place for it
}

absl::StatusOr<Message> ReadMessage(const value& json, std::string path) {
  Message message;
  ASSIGN_OR_RETURN(const JsonFields fields, JsonFields::Of(json, std::move(path), ""));
  RETURN_IF_ERROR(CheckOtherFields(fields));
  ASSIGN_OR_RETURN(message.role, ReadRole(fields));
  if (message.role == Role::kAssistant) {
    RETURN_IF_ERROR(ReadAssistantFields(fields, message));
  } else {
    for (const std::string_view key : {"reasoning_content", "tool_calls", "prefix"}) {
      if (fields.Find(key) != nullptr) {
        return InvalidArgument("%s: only for the role \"assistant\"", fields.PathOf(key));
      }
    }
  }
  if (message.role == Role::kTool) {
    ASSIGN_OR_RETURN(message.tool_call_id, fields.String("tool_call_id"));
  } else if (fields.Find("tool_call_id") != nullptr) {
    return InvalidArgument("%s: only for the role \"tool\"", fields.PathOf("tool_call_id"));
  }
  const bool may_lack_content =
      !message.tool_calls.empty() || (message.prefix && !message.reasoning_content.empty());
  if (fields.Find("content") != nullptr || !may_lack_content) {
    ASSIGN_OR_RETURN(message.content, ReadContent(fields));
  }
  return message;
}

absl::StatusOr<std::vector<Message>> ReadMessages(const array& list) {
  if (list.empty()) {
    return InvalidArgument("messages: empty");
  }
  std::vector<Message> messages;
  absl::flat_hash_set<std::string> call_ids;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string path = PathOfItem("messages", i);
    ASSIGN_OR_RETURN(Message message, ReadMessage(list[i], path));
    if (message.prefix && i + 1 < list.size()) {
      return InvalidArgument("%s.prefix: only on the last message", path);
    }
    if (message.role == Role::kTool && !call_ids.contains(message.tool_call_id)) {
      return InvalidArgument("%s.tool_call_id: no call before has the id %s",
                             path,
                             DescribeJson(value(message.tool_call_id)));
    }
    for (const ToolCall& call : message.tool_calls) {
      call_ids.insert(call.id);
    }
    messages.push_back(std::move(message));
  }
  return messages;
}

absl::StatusOr<Tool> ReadTool(const value& json, std::string path) {
  ASSIGN_OR_RETURN(const JsonFields fields, JsonFields::Of(json, std::move(path), ""));
  ASSIGN_OR_RETURN(const JsonFields function, ReadFunction(fields));
  RETURN_IF_ERROR(CheckRequestFields(fields, {"type", "function"}));
  RETURN_IF_ERROR(CheckRequestFields(function, {"name", "description", "parameters", "strict"}));
  ASSIGN_OR_RETURN(const bool strict, function.BoolOr("strict", false));
  if (strict) {  // nothing makes the model keep to the schema
    return function.Unsupported("strict", "false");
  }
  Tool tool;
  ASSIGN_OR_RETURN(tool.name, ReadName(function));
  ASSIGN_OR_RETURN(tool.description, function.StringOr("description", ""));
  // No parameters means a function without any.
  RETURN_IF_ERROR(function.ObjectOrNull("parameters").status());
  const value* parameters = function.Find("parameters");
  tool.parameters = parameters == nullptr ? "{}" : ToPythonJson(*parameters);
  tool.function = ToIndentedPythonJson(function.object());
  return tool;
}

absl::StatusOr<std::vector<Tool>> ReadTools(const array& list) {
  std::vector<Tool> tools;
  absl::flat_hash_set<std::string> names;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string path = PathOfItem("tools", i);
    ASSIGN_OR_RETURN(Tool tool, ReadTool(list[i], path));
    if (!names.insert(tool.name).second) {
      return InvalidArgument(
          "%s.function.name: %s occurs twice", path, DescribeJson(value(tool.name)));
    }
    tools.push_back(std::move(tool));
  }
  return tools;
}

absl::StatusOr<Thinking> ReadThinking(const value& json) {
  if (json.is_bool()) {
    return json.get_bool() ? Thinking::kEnabled : Thinking::kDisabled;
  }
  ASSIGN_OR_RETURN(const JsonFields fields, JsonFields::Of(json, "thinking", ""));
  ASSIGN_OR_RETURN(const std::string_view type, fields.String("type"));
  RETURN_IF_ERROR(CheckRequestFields(fields, {"type"}));
  if (type == "enabled") {
    return Thinking::kEnabled;
  }
  if (type == "disabled") {
    return Thinking::kDisabled;
  }
  return InvalidArgument("thinking.type: %s (\"enabled\" or \"disabled\")",
                         DescribeJson(*fields.Find("type")));
}

// Whether `key` can stand in a path: short, and of letters, digits, '_' and '-' alone.
bool IsPlainName(std::string_view key) {
  constexpr size_t kMaxNameBytes = 64;
  return !key.empty() && key.size() <= kMaxNameBytes &&
         std::all_of(key.begin(), key.end(), [](char letter) {
           return absl::ascii_isalnum(static_cast<unsigned char>(letter)) || letter == '_' ||
                  letter == '-';
         });
}

}  // namespace

absl::Status UnrecognizedField(const JsonFields& fields, std::string_view key) {
  if (IsPlainName(key)) {
    return InvalidArgument("%s: unrecognized field", fields.PathOf(key));
  }
  return InvalidArgument("%s: unrecognized field %s",
                         fields.path().empty() ? "request body" : fields.path(),
                         DescribeJson(value(key)));
}

absl::Status CheckRequestFields(const JsonFields& fields,
                                std::initializer_list<std::string_view> known) {
  for (const auto& member : fields.object()) {
    const std::string_view key(member.key().data(), member.key().size());
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      return UnrecognizedField(fields, key);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ChatRequest> ReadChatRequest(const value& body) {
  if (body.is_array()) {
    ChatRequest request;
    ASSIGN_OR_RETURN(request.messages, ReadMessages(body.get_array()));
    return request;
  }
  ASSIGN_OR_RETURN(const JsonFields fields, JsonFields::Of(body, "", "request body"));
  return ReadChatRequest(fields);
}

absl::StatusOr<ChatRequest> ReadChatRequest(const JsonFields& fields) {
  ChatRequest request;
  ASSIGN_OR_RETURN(const array* messages, fields.Array("messages"));
  ASSIGN_OR_RETURN(request.messages, ReadMessages(*messages));
  if (fields.Find("tools") != nullptr) {
    ASSIGN_OR_RETURN(const array* tools, fields.Array("tools"));
    ASSIGN_OR_RETURN(request.tools, ReadTools(*tools));
  }
  if (const value* thinking = fields.Find("thinking")) {
    ASSIGN_OR_RETURN(request.thinking, ReadThinking(*thinking));
  }
  return request;
}

absl::StatusOr<ChatRequest> ParseChatRequest(std::string_view body) {
  ASSIGN_OR_RETURN(const value json, ParseJson(body));
  return ReadChatRequest(json);
}

}  // namespace hadal
