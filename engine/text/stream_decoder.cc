#include "engine/text/stream_decoder.h"

#include <string_view>
#include <utility>

#include "base/utf8.h"

namespace hadal {

std::string StreamDecoder::Push(TokenId id) {
  if (special_tokens_ == SpecialTokens::kHide && tokenizer_->IsSpecial(id)) {
    return {};
  }
  const std::string_view piece = tokenizer_->Piece(id);
  if (pending_.empty() && ValidUtf8Prefix(piece) == piece.size()) {  // whole characters, as usual
    return std::string(piece);
  }
  pending_.append(piece);
  // All is decided but a beginning of a character at the end.
  std::string_view rest = pending_;
  size_t num_decided = 0;
  while (!rest.empty()) {
    const size_t valid = ValidUtf8Prefix(rest);
    num_decided += valid;
    rest.remove_prefix(valid);
    if (rest.empty() || IsIncompleteUtf8(rest)) {
      break;
    }
    const size_t invalid = InvalidUtf8Length(rest);
    num_decided += invalid;
    rest.remove_prefix(invalid);
  }
  std::string text = ReplaceInvalidUtf8(std::string_view(pending_).substr(0, num_decided));
  pending_.erase(0, num_decided);
  return text;
}

std::string StreamDecoder::Finish() {
  return ReplaceInvalidUtf8(std::exchange(pending_, {}));
}

std::string Decode(const Tokenizer& tokenizer,
                   std::span<const TokenId> ids,
                   SpecialTokens special_tokens) {
  std::string bytes;
  for (const TokenId id : ids) {
    if (special_tokens == SpecialTokens::kShow || !tokenizer.IsSpecial(id)) {
      bytes.append(tokenizer.Piece(id));
    }
  }
  return ReplaceInvalidUtf8(bytes);
}

}  // namespace hadal
