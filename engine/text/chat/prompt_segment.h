#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/token_id.h"
#include "engine/text/tokenizer.h"

namespace hadal {

/// A piece of a prompt: text, which can never become an added token, or one added token by name.
struct PromptSegment {
  enum class Kind { kText, kAddedToken };

  Kind kind;
  std::string text;

  bool operator==(const PromptSegment&) const = default;
};

/// Collects segments. Neighbouring texts are joined, because merges reach across the joint.
class PromptBuilder {
 public:
  void AddText(std::string_view text);
  void AddToken(std::string_view name);
  std::vector<PromptSegment> Take() { return std::move(segments_); }

 private:
  std::vector<PromptSegment> segments_;
};

/// The tokens of a prompt. Neighbouring texts are joined before they are encoded; text is never
/// joined across an added token. Nothing is added: a begin-of-sentence token is there if a segment
/// says so. InvalidArgument when the tokenizer has no added token of some name; the errors of
/// Tokenizer::Encode.
absl::StatusOr<std::vector<TokenId>> EncodePrompt(std::span<const PromptSegment> segments,
                                                  const Tokenizer& tokenizer);

}  // namespace hadal
