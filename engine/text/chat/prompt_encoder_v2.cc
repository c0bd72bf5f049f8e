// DeepSeek-V2, V2-Lite and Coder-V2: roles in plain text, messages in their order.
// Source: `chat_template` in the checkpoints' tokenizer_config.json.

#include "engine/text/chat/prompt_encoder.h"
#include "engine/text/chat/prompt_tokens.h"
#include "engine/text/chat/prompt_turns.h"

namespace hadal {

absl::StatusOr<ChatPrompt> EncodeChatV2(const ChatRequest& request) {
  RETURN_IF_ERROR(RefuseThinking(request));
  if (!request.tools.empty()) {
    return InvalidArgument("tools: this model's chat format has no place for tool definitions");
  }
  PromptBuilder prompt;
  prompt.AddToken(kBeginOfSentence);
  for (size_t i = 0; i < request.messages.size(); ++i) {
    const Message& message = request.messages[i];
    if (message.role == Role::kTool || !message.tool_calls.empty()) {
      return InvalidArgument("messages[%d]: this model's chat format has no tool calls", i);
    }
    if (message.role == Role::kAssistant) {
      prompt.AddText("Assistant: ");
      prompt.AddText(message.content);
      if (!message.prefix) {
        prompt.AddToken(kEndOfSentence);
      }
    } else {
      prompt.AddText(message.role == Role::kUser ? "User: " : "");
      prompt.AddText(message.content);
      prompt.AddText("\n\n");
    }
  }
  if (FindPrefix(request) == nullptr) {
    prompt.AddText("Assistant:");
  }
  return ChatPrompt{prompt.Take(), PromptState::kContent};
}

}  // namespace hadal
