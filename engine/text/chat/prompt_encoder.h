#pragma once

// From a conversation to a typed prompt, one encoder for each family. They are written from the
// published chat templates, and for tool definitions, which the templates lack, from DeepSeek's
// model cards. They give the same prompts, except where a template is broken; each encoder says
// where. The begin-of-sentence token comes from here, exactly once, whatever `add_bos_token` says.
// Pure functions; any thread.

#include <vector>

#include "base/status.h"
#include "engine/text/chat/chat.h"
#include "engine/text/chat/chat_format.h"
#include "engine/text/chat/prompt_segment.h"

namespace hadal {

/// Where a prompt leaves the model: what it writes next is reasoning, up to `</think>`, or content.
enum class PromptState { kContent, kReasoning };

struct ChatPrompt {
  std::vector<PromptSegment> segments;
  PromptState state = PromptState::kContent;
};

/// The prompt that makes a model of `format` continue the conversation: with a new answer, or with
/// the last message when that is a prefix. InvalidArgument, naming the field, for what the format
/// cannot express: tools and tool messages in kV2, reasoning in kV2 and kV3, no reasoning in kR1.
/// REQUIRES: the invariants of ChatRequest.
absl::StatusOr<ChatPrompt> EncodeChat(ChatFormat format, const ChatRequest& request);

absl::StatusOr<ChatPrompt> EncodeChatV2(const ChatRequest& request);
absl::StatusOr<ChatPrompt> EncodeChatV3(const ChatRequest& request);
absl::StatusOr<ChatPrompt> EncodeChatR1(const ChatRequest& request);
absl::StatusOr<ChatPrompt> EncodeChatV31(const ChatRequest& request);

}  // namespace hadal
