#pragma once

#include "base/json_fields.h"
#include "base/status.h"
#include "engine/text/chat/chat.h"
#include "server/generation/generation_params.h"

namespace hadal {

/// The conversation of a body: messages, tools and whether to think. Sizes are checked before
/// anything is copied. With `tool_choice` "none" the tools are left out, so that the model knows of
/// none. `thinking`, `chat_template_kwargs` and a `reasoning_effort` of "none" may all say whether
/// to think, and must not contradict each other; other efforts leave it to the model's format.
/// InvalidArgument or Unimplemented, naming the field.
absl::StatusOr<ChatRequest> ReadChatFields(const JsonFields& body, const GenerationLimits& limits);

}  // namespace hadal
