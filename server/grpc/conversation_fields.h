#pragma once

#include "base/status.h"
#include "engine/text/chat/chat.h"
#include "server/generation/generation_params.h"

namespace hadal::v1 {
class Conversation;
}

namespace hadal {

/// A conversation that keeps the invariants of ChatRequest. Sizes are checked before anything is
/// copied. InvalidArgument, beginning with the path of the field, as in
/// "conversation.messages[2].content: ...".
absl::StatusOr<ChatRequest> ReadConversation(const v1::Conversation& message,
                                             const GenerationLimits& limits);

}  // namespace hadal
