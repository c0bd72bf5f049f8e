#pragma once

// What the encoders of the formats with role tokens share.

#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "engine/text/chat/chat.h"
#include "engine/text/chat/prompt_segment.h"

namespace hadal {

/// The text of all system messages, wherever they stand, joined by an empty line.
std::string JoinSystemMessages(std::span<const Message> messages);

/// The last message of `request` when it is a prefix to go on from, else null.
const Message* FindPrefix(const ChatRequest& request);

/// The messages of `request` but for a prefix at the end.
std::span<const Message> CompleteMessages(const ChatRequest& request);

/// InvalidArgument when `request` asks for reasoning, of a format that has none.
absl::Status RefuseThinking(const ChatRequest& request);

/// Whether a conversation stands at tool results, which the assistant answers in the same turn.
enum class TurnState { kBetweenTurns, kToolResults };

/// Begins the prompt and writes `tools` and `messages` in the way of V3 and R1, complete turns
/// only.
TurnState AppendV3Turns(std::span<const Message> messages,
                        std::span<const Tool> tools,
                        PromptBuilder& prompt);

/// Opens the assistant's turn, or resumes it behind tool results.
void OpenV3Turn(TurnState state, PromptBuilder& prompt);

}  // namespace hadal
