#include "engine/text/chat/prompt_segment.h"

#include <optional>
#include <utility>

namespace hadal {
namespace {

absl::Status AppendEncoded(const Tokenizer& tokenizer,
                           std::string_view text,
                           std::vector<TokenId>& ids) {
  ASSIGN_OR_RETURN(const std::vector<TokenId> encoded, tokenizer.Encode(text));
  ids.insert(ids.end(), encoded.begin(), encoded.end());
  return absl::OkStatus();
}

}  // namespace

void PromptBuilder::AddText(std::string_view text) {
  if (text.empty()) {
    return;
  }
  if (segments_.empty() || segments_.back().kind != PromptSegment::Kind::kText) {
    segments_.push_back({PromptSegment::Kind::kText, {}});
  }
  segments_.back().text.append(text);
}

void PromptBuilder::AddToken(std::string_view name) {
  segments_.push_back({PromptSegment::Kind::kAddedToken, std::string(name)});
}

absl::StatusOr<std::vector<TokenId>> EncodePrompt(std::span<const PromptSegment> segments,
                                                  const Tokenizer& tokenizer) {
  std::vector<TokenId> ids;
  std::string text;
  for (const PromptSegment& segment : segments) {
    if (segment.kind == PromptSegment::Kind::kText) {
      text.append(segment.text);
      continue;
    }
    RETURN_IF_ERROR(AppendEncoded(tokenizer, std::exchange(text, {}), ids));
    const std::optional<TokenId> id = tokenizer.FindAddedToken(segment.text);
    if (!id.has_value()) {
      return InvalidArgument("the tokenizer has no added token \"%s\"", segment.text);
    }
    ids.push_back(*id);
  }
  RETURN_IF_ERROR(AppendEncoded(tokenizer, text, ids));
  return ids;
}

}  // namespace hadal
