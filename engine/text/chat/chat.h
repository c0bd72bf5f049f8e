#pragma once

// A conversation as the rest of Hadal sees it: no JSON, no API version.

#include <string>
#include <vector>

namespace hadal {

enum class Role { kSystem, kUser, kAssistant, kTool };

/// A function call that the model asked for.
struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;  // JSON text, as the model wrote it
};

struct Message {
  Role role = Role::kUser;
  std::string content = {};
  std::string reasoning_content = {};     // assistant only
  std::vector<ToolCall> tool_calls = {};  // assistant only
  std::string tool_call_id = {};          // tool only: which call this is the result of
  bool prefix = false;  // last message, assistant only: the model goes on from here
};

/// A function that the model may call. JSON text is written as Python's
/// `json.dumps(x, ensure_ascii=False)` writes it, which is what models were trained on.
struct Tool {
  std::string name;
  std::string description;
  std::string parameters;  // JSON Schema
  std::string function;    // the whole function object, with `indent=4`
};

/// Whether the model should reason before it answers; kDefault leaves that to the model's format.
enum class Thinking { kDefault, kEnabled, kDisabled };

/// Invariants (chat_json checks them): there is a message; fields are set only for the roles named
/// above; `prefix` stands only on the last message and not beside tool calls; each tool message
/// answers a call of an earlier assistant message.
struct ChatRequest {
  std::vector<Message> messages;
  std::vector<Tool> tools = {};
  Thinking thinking = Thinking::kDefault;
};

}  // namespace hadal
