#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/text/chat/chat_format.h"
#include "engine/text/chat/prompt_encoder.h"
#include "engine/text/chat/prompt_segment.h"
#include "engine/text/tokenizer.h"

namespace hadal {

/// A prompt as tokens, and where it leaves the model.
struct Prompt {
  std::vector<TokenId> tokens;
  PromptState state = PromptState::kContent;
};

/// The text side of the model that is served. Immutable; any thread.
class ServedModel {
 public:
  struct Args {
    std::vector<std::string> names;    // what clients call it; at least one
    const Tokenizer& tokenizer;        // borrowed
    std::optional<ChatFormat> format;  // nothing: no chats
    std::optional<TokenId> bos;        // begins plain text; nothing: it begins with itself
    std::vector<TokenId> eos;          // end an answer
    int64_t vocab_size = 0;            // of the model
    int64_t max_tokens = 0;            // prompt and answer
  };

  explicit ServedModel(Args args);

  /// NotFound unless `name` is one of the model's; the empty one is.
  [[nodiscard]] absl::Status CheckName(std::string_view name) const;
  [[nodiscard]] const std::vector<std::string>& names() const { return args_.names; }
  [[nodiscard]] const Tokenizer& tokenizer() const { return args_.tokenizer; }
  [[nodiscard]] std::optional<ChatFormat> format() const { return args_.format; }
  /// Tokens that end a text.
  [[nodiscard]] const std::vector<TokenId>& eos() const { return args_.eos; }
  /// Tokens that end an answer: those, and the ones that begin somebody's turn.
  [[nodiscard]] const std::vector<TokenId>& answer_ends() const { return answer_ends_; }
  [[nodiscard]] int64_t vocab_size() const { return args_.vocab_size; }
  [[nodiscard]] int64_t max_tokens() const { return args_.max_tokens; }

  /// InvalidArgument, naming the field, for what the model's format cannot say, OutOfRange when
  /// text is longer than any prompt that fits can be. Unimplemented without a chat format.
  [[nodiscard]] absl::StatusOr<Prompt> EncodeChat(const ChatRequest& chat) const;
  [[nodiscard]] absl::StatusOr<Prompt> EncodeText(std::string_view text) const;
  [[nodiscard]] absl::StatusOr<Prompt> EncodeFill(std::string_view prefix,
                                                  std::string_view suffix) const;
  /// Checks that ids are in the vocabulary.
  [[nodiscard]] absl::StatusOr<Prompt> TakeIds(std::vector<TokenId> ids) const;
  /// The text of `tokens`, with the names of added ones. OutOfRange for more than a context holds:
  /// a token is a byte or two on the wire, and its text may be a hundred.
  [[nodiscard]] absl::StatusOr<std::string> DecodeIds(std::span<const TokenId> tokens) const;

 private:
  // InvalidArgument, naming `field`, unless all of `ids` are in the vocabulary.
  [[nodiscard]] absl::Status CheckIds(std::string_view field, std::span<const TokenId> ids) const;
  [[nodiscard]] absl::Status CheckTextBytes(std::string_view field, int64_t num_bytes) const;
  [[nodiscard]] absl::StatusOr<Prompt> EncodeSegments(std::string_view field,
                                                      std::span<const PromptSegment> segments,
                                                      PromptState state) const;

  Args args_;
  std::vector<TokenId> answer_ends_;
  int64_t max_text_bytes_;  // of a prompt: longer text has more than max_tokens tokens
};

}  // namespace hadal
