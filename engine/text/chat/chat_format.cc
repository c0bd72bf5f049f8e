#include "engine/text/chat/chat_format.h"

#include <string>
#include <vector>

#include "engine/text/chat/prompt_tokens.h"

namespace hadal {
namespace {

// The tokens without which no conversation can be written. Those of tool calls are looked up when a
// prompt needs them.
std::vector<std::string_view> RequiredTokens(ChatFormat format) {
  std::vector<std::string_view> names = {kBeginOfSentence, kEndOfSentence};
  if (format != ChatFormat::kV2) {
    names.insert(names.end(), {kUserToken, kAssistantToken});
  }
  if (format == ChatFormat::kR1 || format == ChatFormat::kV31) {
    names.insert(names.end(), {kThinkBegin, kThinkEnd});
  }
  return names;
}

absl::StatusOr<ChatFormat> DetectFromTemplate(std::string_view text) {
  const auto mentions = [text](std::string_view word) {
    return text.find(word) != std::string_view::npos;
  };
  if (mentions("DSML")) {
    return Unimplemented("chat_template: DSML prompts");
  }
  if (!mentions(kUserToken)) {
    if (mentions("User: ")) {
      return ChatFormat::kV2;
    }
    return InvalidArgument("chat_template: not of a DeepSeek format");
  }
  if (!mentions(kThinkEnd)) {
    return ChatFormat::kV3;
  }
  return mentions("thinking") ? ChatFormat::kV31 : ChatFormat::kR1;
}

absl::StatusOr<ChatFormat> DetectFromTokens(const Tokenizer& tokenizer) {
  if (!tokenizer.FindAddedToken(kUserToken).has_value()) {
    return ChatFormat::kV2;
  }
  if (!tokenizer.FindAddedToken(kThinkBegin).has_value()) {
    return ChatFormat::kV3;
  }
  return InvalidArgument("chat_template: missing, and the added tokens fit several formats");
}

}  // namespace

std::string_view NameOf(ChatFormat format) {
  switch (format) {
    case ChatFormat::kV2:
      return "v2";
    case ChatFormat::kV3:
      return "v3";
    case ChatFormat::kR1:
      return "r1";
    case ChatFormat::kV31:
      return "v31";
  }
  return "";
}

absl::StatusOr<ChatFormat> DetectChatFormat(const Tokenizer& tokenizer,
                                            const TokenizerConfig& config,
                                            std::string_view model_type) {
  if (model_type == "kimi_k2") {
    return Unimplemented(
        "model_type \"kimi_k2\": its tokenizer and its chat format are not supported yet");
  }
  if (model_type != "deepseek_v2" && model_type != "deepseek_v3") {
    return Unimplemented("no chat format for model_type \"%s\"", model_type);
  }
  ASSIGN_OR_RETURN(const ChatFormat format,
                   config.chat_template.has_value() ? DetectFromTemplate(*config.chat_template)
                                                    : DetectFromTokens(tokenizer));
  for (const std::string_view name : RequiredTokens(format)) {
    if (!tokenizer.FindAddedToken(name).has_value()) {
      return InvalidArgument(
          "chat format %s needs the added token \"%s\", which the tokenizer lacks",
          NameOf(format),
          name);
    }
  }
  return format;
}

}  // namespace hadal
