#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/token_id.h"
#include "engine/text/tokenizer.h"

namespace hadal {

/// Whether decoding leaves special tokens out, as it should for what a user sees.
enum class SpecialTokens { kHide, kShow };

/// Turns tokens into text as they come. A character whose bytes are spread over tokens is held back
/// until it is whole; bytes that can no longer become a character turn into U+FFFD, one for each
/// maximal subpart (Unicode 15, section 3.9). All that Push and Finish return, joined, is Decode of
/// all tokens. Ids that no token has are skipped. One thread at a time.
class StreamDecoder {
 public:
  /// `tokenizer` must outlive the decoder.
  StreamDecoder(const Tokenizer& tokenizer, SpecialTokens special_tokens)
      : tokenizer_(&tokenizer), special_tokens_(special_tokens) {}

  /// The text that `id` completes; valid UTF-8, possibly empty.
  std::string Push(TokenId id);

  /// The replacement for an incomplete character at the end, if there is one. Afterwards the
  /// decoder is as new.
  std::string Finish();

  /// Bytes of the character that is not whole yet.
  [[nodiscard]] int64_t num_pending_bytes() const { return std::ssize(pending_); }

 private:
  const Tokenizer* tokenizer_;
  SpecialTokens special_tokens_;
  std::string pending_;  // the beginning of a character: at most 3 bytes between calls
};

/// The text of all of `ids`; equal to `decode(ids, skip_special_tokens=…)` of the tokenizers
/// package.
std::string Decode(const Tokenizer& tokenizer,
                   std::span<const TokenId> ids,
                   SpecialTokens special_tokens);

}  // namespace hadal
