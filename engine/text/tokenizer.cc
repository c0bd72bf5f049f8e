#include "engine/text/tokenizer.h"

#include <algorithm>
#include <bit>
#include <utility>

#include <absl/hash/hash.h>

#include "base/check.h"
#include "base/checked_cast.h"
#include "base/json.h"
#include "base/utf8.h"

namespace hadal {
namespace {

constexpr size_t kMaxFileBytes = size_t{256} << 20U;
constexpr size_t kMaxTextBytes = size_t{1} << 30U;

// Where the tokens of words already met in this text stand in the output. Lives for one call, so
// threads share nothing; a word that meets a taken slot replaces what was there.
class WordCache {
 public:
  explicit WordCache(size_t text_bytes)
      : slots_(std::bit_ceil(std::clamp(text_bytes / 8, size_t{16}, size_t{8192}))) {}

  // Appends the tokens of `word` to `out`: copied from where it was met before, or made by
  // `encode()`. REQUIRES: `word` outlives the cache and `out` only grows.
  template <typename Encode>
  void Append(std::string_view word, std::vector<TokenId>& out, Encode encode) {
    if (word.size() > kMaxWordBytes) {
      encode();
      return;
    }
    Slot& slot = slots_[absl::HashOf(word) & (slots_.size() - 1)];
    if (slot.word == word) {
      out.resize(out.size() + slot.num_tokens);
      std::copy_n(out.begin() + static_cast<std::ptrdiff_t>(slot.first_token),
                  slot.num_tokens,
                  out.end() - static_cast<std::ptrdiff_t>(slot.num_tokens));
      return;
    }
    const size_t first_token = out.size();
    encode();
    slot = {word, first_token, out.size() - first_token};
  }

 private:
  static constexpr size_t kMaxWordBytes = 64;

  struct Slot {
    std::string_view word;
    size_t first_token = 0;
    size_t num_tokens = 0;
  };
  std::vector<Slot> slots_;
};

}  // namespace

absl::StatusOr<Tokenizer> Tokenizer::FromFile(const std::string& path) {
  ASSIGN_OR_RETURN(const boost::json::value json, ParseJsonFile(path, kMaxFileBytes));
  absl::StatusOr<TokenizerJson> contents = ReadTokenizerJson(json);
  if (!contents.ok()) {
    return Annotate(contents.status(), path);
  }
  return Tokenizer(*std::move(contents));
}

absl::StatusOr<Tokenizer> Tokenizer::FromJson(std::string_view text) {
  ASSIGN_OR_RETURN(const boost::json::value json, ParseJson(text));
  ASSIGN_OR_RETURN(TokenizerJson contents, ReadTokenizerJson(json));
  return Tokenizer(std::move(contents));
}

Tokenizer::Tokenizer(TokenizerJson json)
    : pretokenizer_(std::move(json.pretokenizer)),
      bpe_(std::move(json.bpe)),
      pieces_(std::move(json.pieces)),
      kinds_(pieces_.size(), IdKind::kText) {
  for (AddedToken& token : json.added_tokens) {
    const bool special = token.kind == AddedToken::Kind::kSpecial;
    kinds_[static_cast<size_t>(token.id)] = special ? IdKind::kSpecial : IdKind::kAdded;
    added_tokens_.emplace(std::move(token.content), token.id);
  }
}

absl::StatusOr<std::vector<TokenId>> Tokenizer::Encode(std::string_view text) const {
  if (text.size() > kMaxTextBytes) {
    return OutOfRange("text of %d bytes; at most %d can be encoded", text.size(), kMaxTextBytes);
  }
  if (const size_t valid = ValidUtf8Prefix(text); valid < text.size()) {
    return InvalidArgument("invalid UTF-8 at byte %d", valid);
  }
  std::string prefixed;
  if (pretokenizer_.prefix_space() == Pretokenizer::PrefixSpace::kAdd && !text.empty() &&
      !text.starts_with(' ')) {
    prefixed.append(" ").append(text);
    text = prefixed;
  }
  std::vector<TokenId> ids;
  Bpe::Scratch scratch;
  WordCache cache(text.size());
  pretokenizer_.Split(text, [&](std::string_view word) {
    cache.Append(word, ids, [&] { bpe_.Encode(word, scratch, ids); });
  });
  return ids;
}

std::optional<TokenId> Tokenizer::FindAddedToken(std::string_view content) const {
  const auto found = added_tokens_.find({content.data(), content.size()});
  return found == added_tokens_.end() ? std::nullopt : std::optional(found->second);
}

std::string_view Tokenizer::Piece(TokenId id) const {
  return id >= 0 && id < vocab_size() ? pieces_[static_cast<size_t>(id)] : std::string_view();
}

Tokenizer::IdKind Tokenizer::KindOf(TokenId id) const {
  return id >= 0 && id < vocab_size() ? kinds_[static_cast<size_t>(id)] : IdKind::kText;
}

bool Tokenizer::IsAdded(TokenId id) const {
  return KindOf(id) != IdKind::kText;
}

bool Tokenizer::IsSpecial(TokenId id) const {
  return KindOf(id) == IdKind::kSpecial;
}

int32_t Tokenizer::vocab_size() const {
  return CheckedCast<int32_t>(pieces_.size());
}

}  // namespace hadal
