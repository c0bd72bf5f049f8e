#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "base/status.h"
#include "base/token_id.h"
#include "engine/text/bpe.h"
#include "engine/text/pretokenizer.h"
#include "engine/text/tokenizer_json.h"

namespace hadal {

/// A byte-level BPE tokenizer, equal id for id to the Python package `tokenizers` on the same
/// tokenizer.json with all added tokens disabled. Immutable; any thread.
///
///   ASSIGN_OR_RETURN(const Tokenizer tokenizer, Tokenizer::FromFile("model/tokenizer.json"));
///   ASSIGN_OR_RETURN(const std::vector<TokenId> ids, tokenizer.Encode("Hello"));
class Tokenizer {
 public:
  /// Reads a tokenizer.json of at most 256 MiB. The errors of MappedFile::Open, ParseJson and
  /// ReadTokenizerJson, naming the file.
  static absl::StatusOr<Tokenizer> FromFile(const std::string& path);

  /// Reads the text of a tokenizer.json.
  static absl::StatusOr<Tokenizer> FromJson(std::string_view text);

  /// The tokens of `text`. Never an added token, whatever the text says: names such as "<think>"
  /// are encoded as the characters they are made of. Time is linear in `text`, but for a factor
  /// log n within one word of n bytes.
  /// InvalidArgument, with the byte offset, when `text` is not UTF-8; OutOfRange above 1 GiB.
  [[nodiscard]] absl::StatusOr<std::vector<TokenId>> Encode(std::string_view text) const;

  /// The id of the added token named exactly `content`.
  [[nodiscard]] std::optional<TokenId> FindAddedToken(std::string_view content) const;

  /// The bytes that `id` stands for, not always whole characters. Empty for an id that no token
  /// has, such as the rows that pad a model's embedding.
  [[nodiscard]] std::string_view Piece(TokenId id) const;

  [[nodiscard]] bool IsAdded(TokenId id) const;
  [[nodiscard]] bool IsSpecial(TokenId id) const;

  /// The largest id plus one. Some ids below it may have no token.
  [[nodiscard]] int32_t vocab_size() const;

 private:
  enum class IdKind : uint8_t { kText, kAdded, kSpecial };

  explicit Tokenizer(TokenizerJson json);
  [[nodiscard]] IdKind KindOf(TokenId id) const;

  Pretokenizer pretokenizer_;
  Bpe bpe_;
  std::vector<std::string> pieces_;  // by id
  std::vector<IdKind> kinds_;        // by id
  absl::flat_hash_map<std::string, TokenId> added_tokens_;
};

}  // namespace hadal
