// DeepSeek-V2.5, V3 and V3-0324.
// Source: `chat_template` in V3's tokenizer_config.json, except where it is broken:
//   1. It closes the block of tool calls only after a second call, and again after each further
//      one; V3-0324 closes it once, after the last.
//   2. It opens a block of calls or results only once in a conversation; V3-0324 opens each.
//   3. It drops tool calls that stand beside content; V3-0324 keeps both.
//   4. It leaves results open when a user message follows; they are closed here, as they are
//      everywhere else.
// Tool definitions, which it lacks, are as in DeepSeek-V2.5's model card (prompt_turns.cc).
// V3-0324 differs on purpose in one more way that is not followed: it opens an assistant's turn
// after each user message, even when another user message comes next.

#include "engine/text/chat/prompt_encoder.h"
#include "engine/text/chat/prompt_turns.h"

namespace hadal {

absl::StatusOr<ChatPrompt> EncodeChatV3(const ChatRequest& request) {
  RETURN_IF_ERROR(RefuseThinking(request));
  PromptBuilder prompt;
  OpenV3Turn(AppendV3Turns(CompleteMessages(request), request.tools, prompt), prompt);
  if (const Message* prefix = FindPrefix(request)) {
    prompt.AddText(prefix->content);
  }
  return ChatPrompt{prompt.Take(), PromptState::kContent};
}

}  // namespace hadal
