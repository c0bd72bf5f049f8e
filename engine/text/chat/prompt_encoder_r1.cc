// DeepSeek-R1 and R1-0528.
// Source: R1's `chat_template` of February 2025, whose answers begin with `<think>` and a line
// break. R1-0528 writes these itself when a prompt stops before them; they are put into its
// prompts too, so that it is always known where its reasoning begins. Behind tool results the
// template adds nothing, and neither does this encoder. Result blocks are opened, closed and
// separated as in V3 (the template opens them once in a conversation), and so are tool definitions.

#include <string_view>
#include <vector>

#include "engine/text/chat/prompt_encoder.h"
#include "engine/text/chat/prompt_tokens.h"
#include "engine/text/chat/prompt_turns.h"

namespace hadal {
namespace {

// Earlier turns keep what follows their last `</think>`.
std::vector<Message> WithoutReasoning(std::span<const Message> messages) {
  std::vector<Message> stripped(messages.begin(), messages.end());
  for (Message& message : stripped) {
    const size_t end = message.content.rfind(kThinkEnd);
    if (message.role == Role::kAssistant && end != std::string::npos) {
      message.content.erase(0, end + kThinkEnd.size());
    }
  }
  return stripped;
}

// The prefix of an answer, with the line breaks that R1 writes around its reasoning.
PromptState AppendPrefix(const Message& prefix, PromptBuilder& prompt) {
  if (!prefix.reasoning_content.empty()) {
    prompt.AddToken(kThinkBegin);
    prompt.AddText("\n");
    prompt.AddText(prefix.reasoning_content);
    if (prefix.content.empty()) {
      return PromptState::kReasoning;
    }
    prompt.AddText("\n");
    prompt.AddToken(kThinkEnd);
    prompt.AddText("\n\n");
  }
  prompt.AddText(prefix.content);
  return PromptState::kContent;
}

}  // namespace

absl::StatusOr<ChatPrompt> EncodeChatR1(const ChatRequest& request) {
  if (request.thinking == Thinking::kDisabled) {
    return InvalidArgument("thinking: this model always reasons");
  }
  PromptBuilder prompt;
  const TurnState state =
      AppendV3Turns(WithoutReasoning(CompleteMessages(request)), request.tools, prompt);
  OpenV3Turn(state, prompt);
  if (const Message* prefix = FindPrefix(request)) {
    const PromptState prompt_state = AppendPrefix(*prefix, prompt);
    return ChatPrompt{prompt.Take(), prompt_state};
  }
  if (state == TurnState::kToolResults) {
    return ChatPrompt{prompt.Take(), PromptState::kContent};
  }
  prompt.AddToken(kThinkBegin);
  prompt.AddText("\n");
  return ChatPrompt{prompt.Take(), PromptState::kReasoning};
}

}  // namespace hadal
