// DeepSeek-V3.1 and V3.1-Terminus.
// Sources: `chat_template` of V3.1-Terminus, which equals V3.1's but for conversations that end in
// a whole assistant message or have system messages only (V3.1 then opens no turn); the model
// card, for tool definitions. Deviation: an assistant message with `prefix` is not ended, since
// the model is to go on from it.

#include <string_view>

#include "engine/text/chat/prompt_encoder.h"
#include "engine/text/chat/prompt_tokens.h"
#include "engine/text/chat/prompt_turns.h"

namespace hadal {
namespace {

// The model card's text, word for word: the model was trained on it.
void AppendToolDefinitions(std::span<const Tool> tools, PromptBuilder& prompt) {
  prompt.AddText("\n\n## Tools\nYou have access to the following tools:\n\n");
  for (const Tool& tool : tools) {
    prompt.AddText("### ");
    prompt.AddText(tool.name);
    prompt.AddText("\nDescription: ");
    prompt.AddText(tool.description);
    prompt.AddText("\n\nParameters: ");
    prompt.AddText(tool.parameters);
    prompt.AddText("\n\n");
  }
  prompt.AddText("IMPORTANT: ALWAYS adhere to this exact format for tool use:\n");
  prompt.AddToken(kToolCallsBegin);
  prompt.AddToken(kToolCallBeginToken);
  prompt.AddText("tool_call_name");
  prompt.AddToken(kToolSeparator);
  prompt.AddText("tool_call_arguments");
  prompt.AddToken(kToolCallEndToken);
  prompt.AddText("{additional_tool_calls}");
  prompt.AddToken(kToolCallsEnd);
  prompt.AddText(
      "\n\nWhere:\n"
      "- `tool_call_name` must be an exact match to one of the available tools\n"
      "- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters "
      "Schema\n"
      "- For multiple tool calls, chain them directly without separators or spaces");
}

void AppendCalls(std::span<const ToolCall> calls, PromptBuilder& prompt) {
  prompt.AddToken(kToolCallsBegin);
  for (const ToolCall& call : calls) {
    prompt.AddToken(kToolCallBeginToken);
    prompt.AddText(call.name);
    prompt.AddToken(kToolSeparator);
    prompt.AddText(call.arguments);
    prompt.AddToken(kToolCallEndToken);
  }
  prompt.AddToken(kToolCallsEnd);
}

// What the template remembers from message to message.
enum class Previous { kNothing, kOnlySystem, kUser, kAssistant, kToolResult };

void AppendAssistant(const Message& message, Previous previous, PromptBuilder& prompt) {
  const bool has_calls = !message.tool_calls.empty();
  if (previous == Previous::kUser || (previous == Previous::kOnlySystem && has_calls)) {
    prompt.AddToken(kAssistantToken);
    prompt.AddToken(kThinkEnd);
  }
  std::string_view content = message.content;
  if (!has_calls && previous != Previous::kToolResult) {
    // Reasoning that a client sent back inside of the content goes.
    const size_t end = content.find(kThinkEnd);
    content.remove_prefix(end == std::string_view::npos ? 0 : end + kThinkEnd.size());
  }
  prompt.AddText(content);
  if (has_calls) {
    AppendCalls(message.tool_calls, prompt);
  }
  prompt.AddToken(kEndOfSentence);
}

Previous AppendTurns(const ChatRequest& request, PromptBuilder& prompt) {
  const std::span<const Message> messages = CompleteMessages(request);
  prompt.AddToken(kBeginOfSentence);
  prompt.AddText(JoinSystemMessages(messages));
  if (!request.tools.empty()) {
    AppendToolDefinitions(request.tools, prompt);
  }
  Previous previous = Previous::kNothing;
  for (const Message& message : messages) {
    if (message.role == Role::kSystem) {
      previous = Previous::kOnlySystem;
    }
  }
  for (const Message& message : messages) {
    switch (message.role) {
      case Role::kSystem:
        break;
      case Role::kUser:
        prompt.AddToken(kUserToken);
        prompt.AddText(message.content);
        previous = Previous::kUser;
        break;
      case Role::kAssistant:
        AppendAssistant(message, previous, prompt);
        previous = Previous::kAssistant;
        break;
      case Role::kTool:
        prompt.AddToken(kToolOutputBegin);
        prompt.AddText(message.content);
        prompt.AddToken(kToolOutputEnd);
        previous = Previous::kToolResult;
        break;
    }
  }
  return previous;
}

// With thinking on, a prefix without reasoning stands inside of the reasoning, as in the template.
PromptState AppendPrefix(const Message& prefix,
                         Previous previous,
                         Thinking thinking,
                         PromptBuilder& prompt) {
  if (previous != Previous::kUser) {
    prompt.AddText(prefix.content);
    return PromptState::kContent;
  }
  prompt.AddToken(kAssistantToken);
  if (thinking != Thinking::kEnabled) {
    prompt.AddToken(kThinkEnd);
    prompt.AddText(prefix.content);
    return PromptState::kContent;
  }
  prompt.AddToken(kThinkBegin);
  prompt.AddText(prefix.reasoning_content);
  const bool reasoning_ends = !prefix.reasoning_content.empty() && !prefix.content.empty();
  if (reasoning_ends) {
    prompt.AddToken(kThinkEnd);
  }
  prompt.AddText(prefix.content);
  return reasoning_ends ? PromptState::kContent : PromptState::kReasoning;
}

}  // namespace

absl::StatusOr<ChatPrompt> EncodeChatV31(const ChatRequest& request) {
  PromptBuilder prompt;
  const Previous previous = AppendTurns(request, prompt);
  if (const Message* prefix = FindPrefix(request)) {
    if (!prefix->reasoning_content.empty() &&
        (request.thinking != Thinking::kEnabled || previous != Previous::kUser)) {
      return InvalidArgument(
          "messages[%d].reasoning_content: only with thinking enabled and after a user message",
          request.messages.size() - 1);
    }
    const PromptState state = AppendPrefix(*prefix, previous, request.thinking, prompt);
    return ChatPrompt{prompt.Take(), state};
  }
  if (previous == Previous::kToolResult) {
    return ChatPrompt{prompt.Take(), PromptState::kContent};
  }
  const bool thinks = request.thinking == Thinking::kEnabled;
  prompt.AddToken(kAssistantToken);
  prompt.AddToken(thinks ? kThinkBegin : kThinkEnd);
  return ChatPrompt{prompt.Take(), thinks ? PromptState::kReasoning : PromptState::kContent};
}

}  // namespace hadal
