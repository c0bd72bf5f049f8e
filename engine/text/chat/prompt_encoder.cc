#include "engine/text/chat/prompt_encoder.h"

#include "base/check.h"

namespace hadal {

absl::StatusOr<ChatPrompt> EncodeChat(ChatFormat format, const ChatRequest& request) {
  CHECK(!request.messages.empty());
  switch (format) {
    case ChatFormat::kV2:
      return EncodeChatV2(request);
    case ChatFormat::kV3:
      return EncodeChatV3(request);
    case ChatFormat::kR1:
      return EncodeChatR1(request);
    case ChatFormat::kV31:
      return EncodeChatV31(request);
  }
  return Internal("no encoder for this chat format");
}

}  // namespace hadal
