#pragma once

// Log-probabilities of tokens. A token's text may be a part of a character: then it has U+FFFD
// where the bytes make none, while `bytes` of a chat answer are exact. A logprob below -9999, as of
// a token that cannot come, is written as -9999: JSON has no infinity.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/generation/generation_event.h"

namespace hadal {

/// Appends items of a chat answer's `logprobs.content`, {token, logprob, bytes, top_logprobs} each,
/// with commas between them, and in front unless `json` ends with '['.
void AppendChatLogprobs(std::span<const ContentLogprob> logprobs, std::string& json);

/// The `logprobs` of one choice of a text completion, whose four lists are written side by side.
/// One thread.
class CompletionLogprobs {
 public:
  /// The prompt is told first when it is echoed: offsets count its characters.
  void Skip(std::string_view text);

  void Add(std::span<const ContentLogprob> logprobs);

  /// Appends {tokens, token_logprobs, top_logprobs, text_offset} of what was added since the last
  /// time. Offsets go on.
  void Flush(std::string& json);

 private:
  void AddTop(const ContentLogprob& logprob);
  void AddTopEntry(const TokenText& entry);

  int64_t num_characters_ = 0;
  std::string tokens_;
  std::string token_logprobs_;
  std::string top_logprobs_;
  std::string text_offsets_;
  std::vector<std::pair<size_t, size_t>> keys_;  // begin and length in top_logprobs_, of one token
};

}  // namespace hadal
