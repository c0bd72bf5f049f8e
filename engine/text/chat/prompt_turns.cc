#include "engine/text/chat/prompt_turns.h"

#include <vector>

#include "engine/text/chat/prompt_tokens.h"

namespace hadal {
namespace {

// Tool definitions, behind the text of the system messages. The templates of V3 and R1 have no
// place for them. The wording is DeepSeek's own, of the section "Function calling" in the model
// card of DeepSeek-V2.5, which has the same tokens and the same form of calls; no later card has
// any before V3.1's. The card's example begins with a system text, which stands in here where a
// conversation has none, and defines one function; several are set apart by an empty line here.
//
// Others wrote instructions of their own instead, which no model was trained on: vLLM's template
// for V3 lists tools as one-line JSON between <tools> tags and then explains the form of a call;
// SGLang's for V3 and R1, and vLLM's for R1, put an explanation before the card's headings and then
// the whole tool objects as one-line JSON without names.
void AppendV3Tools(std::string_view system, std::span<const Tool> tools, PromptBuilder& prompt) {
  if (system.empty()) {
    prompt.AddText("You are a helpful Assistant.");
  }
  prompt.AddText("\n\n## Tools\n\n### Function\n\nYou have the following functions available:");
  for (const Tool& tool : tools) {
    prompt.AddText("\n\n- `");
    prompt.AddText(tool.name);
    prompt.AddText("`:\n```json\n");
    prompt.AddText(tool.function);
    prompt.AddText("\n```");
  }
}

void AppendV3Calls(std::span<const ToolCall> calls, PromptBuilder& prompt) {
  prompt.AddToken(kToolCallsBegin);
  std::string_view separator;
  for (const ToolCall& call : calls) {
    prompt.AddText(separator);
    prompt.AddToken(kToolCallBeginToken);
    prompt.AddText("function");
    prompt.AddToken(kToolSeparator);
    prompt.AddText(call.name);
    prompt.AddText("\n```json\n");
    prompt.AddText(call.arguments);
    prompt.AddText("\n```");
    prompt.AddToken(kToolCallEndToken);
    separator = "\n";
  }
  prompt.AddToken(kToolCallsEnd);
}

void AppendV3Result(TurnState state, std::string_view result, PromptBuilder& prompt) {
  if (state == TurnState::kToolResults) {
    prompt.AddText("\n");
  } else {
    prompt.AddToken(kToolOutputsBegin);
  }
  prompt.AddToken(kToolOutputBegin);
  prompt.AddText(result);
  prompt.AddToken(kToolOutputEnd);
}

}  // namespace

std::string JoinSystemMessages(std::span<const Message> messages) {
  std::string joined;
  std::string_view separator;
  for (const Message& message : messages) {
    if (message.role == Role::kSystem) {
      joined.append(separator).append(message.content);
      separator = "\n\n";
    }
  }
  return joined;
}

const Message* FindPrefix(const ChatRequest& request) {
  const bool has_prefix = !request.messages.empty() && request.messages.back().prefix;
  return has_prefix ? &request.messages.back() : nullptr;
}

std::span<const Message> CompleteMessages(const ChatRequest& request) {
  const std::span<const Message> messages = request.messages;
  return messages.first(messages.size() - (FindPrefix(request) == nullptr ? 0 : 1));
}

absl::Status RefuseThinking(const ChatRequest& request) {
  if (request.thinking == Thinking::kEnabled) {
    return InvalidArgument("thinking: this model does not reason");
  }
  const Message* prefix = FindPrefix(request);
  if (prefix != nullptr && !prefix->reasoning_content.empty()) {
    return InvalidArgument("messages[%d].reasoning_content: this model does not reason",
                           request.messages.size() - 1);
  }
  return absl::OkStatus();
}

TurnState AppendV3Turns(std::span<const Message> messages,
                        std::span<const Tool> tools,
                        PromptBuilder& prompt) {
  const std::string system = JoinSystemMessages(messages);
  prompt.AddToken(kBeginOfSentence);
  prompt.AddText(system);
  if (!tools.empty()) {
    AppendV3Tools(system, tools, prompt);
  }
  TurnState state = TurnState::kBetweenTurns;
  for (const Message& message : messages) {
    switch (message.role) {
      case Role::kSystem:
        break;
      case Role::kUser:
        if (state == TurnState::kToolResults) {
          prompt.AddToken(kToolOutputsEnd);
        }
        prompt.AddToken(kUserToken);
        prompt.AddText(message.content);
        state = TurnState::kBetweenTurns;
        break;
      case Role::kAssistant:
        OpenV3Turn(state, prompt);
        prompt.AddText(message.content);
        if (!message.tool_calls.empty()) {
          AppendV3Calls(message.tool_calls, prompt);
        }
        prompt.AddToken(kEndOfSentence);
        state = TurnState::kBetweenTurns;
        break;
      case Role::kTool:
        AppendV3Result(state, message.content, prompt);
        state = TurnState::kToolResults;
        break;
    }
  }
  return state;
}

void OpenV3Turn(TurnState state, PromptBuilder& prompt) {
  prompt.AddToken(state == TurnState::kToolResults ? kToolOutputsEnd : kAssistantToken);
}

}  // namespace hadal
