#include "engine/text/tokenizer_json.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include "base/json_fields.h"
#include "engine/text/byte_alphabet.h"

namespace hadal {
namespace {

using boost::json::array;
using boost::json::object;
using boost::json::value;

constexpr int64_t kMaxIds = int64_t{1} << 24U;

// The vocabulary as the file writes it; the keys live in the JSON value.
struct Vocab {
  absl::flat_hash_map<std::string_view, TokenId> ids;
  absl::flat_hash_map<TokenId, std::string_view> pieces;
};

absl::StatusOr<TokenId> ReadId(const value& json) {
  const int64_t* id = json.if_int64();
  if (id == nullptr || *id < 0 || *id >= kMaxIds) {
    return InvalidArgument("expected an id in [0, %d)", kMaxIds);
  }
  return static_cast<TokenId>(*id);
}

absl::Status RefuseField(const JsonFields& fields, std::string_view key) {
  return fields.Find(key) == nullptr ? absl::OkStatus() : fields.Unsupported(key, "null");
}

absl::Status RefuseNonEmpty(const JsonFields& fields, std::string_view key) {
  ASSIGN_OR_RETURN(const std::string_view text, fields.StringOr(key, ""));
  return text.empty() ? absl::OkStatus() : fields.Unsupported(key, "\"\"");
}

absl::Status CheckNormalizer(const JsonFields& file) {
  if (file.Find("normalizer") == nullptr) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const JsonFields fields, file.Object("normalizer"));
  ASSIGN_OR_RETURN(const std::string_view type, fields.String("type"));
  const value* steps = fields.Find("normalizers");
  if (type != "Sequence" || steps == nullptr || !steps->is_array() || !steps->get_array().empty()) {
    return Unimplemented("normalizer: \"%s\" (only an empty Sequence is supported)", type);
  }
  return absl::OkStatus();
}

absl::Status CheckDecoder(const JsonFields& file) {
  ASSIGN_OR_RETURN(const JsonFields fields, file.Object("decoder"));
  ASSIGN_OR_RETURN(const std::string_view type, fields.String("type"));
  return type == "ByteLevel" ? absl::OkStatus() : fields.Unsupported("type", "\"ByteLevel\"");
}

absl::Status CheckModelOptions(const JsonFields& model) {
  ASSIGN_OR_RETURN(const std::string_view type, model.String("type"));
  if (type != "BPE") {
    return model.Unsupported("type", "\"BPE\"");
  }
  const value* dropout = model.Find("dropout");
  if (dropout != nullptr && !(dropout->is_number() && dropout->to_number<double>() == 0)) {
    return model.Unsupported("dropout", "0");
  }
  // `unk_token` and `fuse_unk` cannot matter: every byte has a token.
  RETURN_IF_ERROR(RefuseNonEmpty(model, "continuing_subword_prefix"));
  RETURN_IF_ERROR(RefuseNonEmpty(model, "end_of_word_suffix"));
  ASSIGN_OR_RETURN(const bool byte_fallback, model.BoolOr("byte_fallback", false));
  return byte_fallback ? model.Unsupported("byte_fallback", "false") : absl::OkStatus();
}

absl::StatusOr<Vocab> ReadVocab(const JsonFields& model) {
  ASSIGN_OR_RETURN(const JsonFields fields, model.Object("vocab"));
  const object& json = fields.object();
  Vocab vocab;
  vocab.ids.reserve(json.size());
  vocab.pieces.reserve(json.size());
  for (const auto& [key, id_json] : json) {
    const std::string_view piece(key.data(), key.size());
    if (piece.empty()) {
      return InvalidArgument("model.vocab: an empty piece");
    }
    const absl::StatusOr<TokenId> read_id = ReadId(id_json);
    if (!read_id.ok()) {
      return InvalidArgument("model.vocab[\"%s\"]: %s", piece, MessageOf(read_id.status()));
    }
    const TokenId id = *read_id;
    if (!vocab.pieces.emplace(id, piece).second) {
      return InvalidArgument("model.vocab[\"%s\"]: id %d is taken by another piece", piece, id);
    }
    vocab.ids.emplace(piece, id);
  }
  return vocab;
}

absl::StatusOr<AddedToken> ReadAddedToken(const value& json, std::string path) {
  ASSIGN_OR_RETURN(const JsonFields fields, JsonFields::Of(json, std::move(path), ""));
  ASSIGN_OR_RETURN(const int64_t id, fields.Int("id", {.min = 0, .max = kMaxIds - 1}));
  ASSIGN_OR_RETURN(const std::string_view content, fields.String("content"));
  ASSIGN_OR_RETURN(const bool special, fields.BoolOr("special", false));
  if (content.empty()) {
    return InvalidArgument("%s: empty", fields.PathOf("content"));
  }
  return AddedToken{static_cast<TokenId>(id),
                    std::string(content),
                    special ? AddedToken::Kind::kSpecial : AddedToken::Kind::kPlain};
}

absl::StatusOr<std::vector<AddedToken>> ReadAddedTokens(const JsonFields& file,
                                                        const Vocab& vocab) {
  std::vector<AddedToken> tokens;
  if (file.Find("added_tokens") == nullptr) {
    return tokens;
  }
  ASSIGN_OR_RETURN(const array* list, file.Array("added_tokens"));
  absl::flat_hash_set<std::string> contents;
  absl::flat_hash_set<TokenId> ids;
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string path = PathOfItem("added_tokens", i);
    ASSIGN_OR_RETURN(AddedToken token, ReadAddedToken((*list)[i], path));
    if (!contents.insert(token.content).second || !ids.insert(token.id).second) {
      return InvalidArgument("%s: id or content occurs twice", path);
    }
    const auto piece = vocab.pieces.find(token.id);
    const auto entry = vocab.ids.find(token.content);
    if ((piece != vocab.pieces.end() && piece->second != token.content) ||
        (entry != vocab.ids.end() && entry->second != token.id)) {
      return InvalidArgument(
          "%s: id %d and \"%s\" contradict model.vocab", path, token.id, token.content);
    }
    tokens.push_back(std::move(token));
  }
  return tokens;
}

// The bytes that a token decodes to: those that its characters stand for, or itself when it has
// a character outside of the byte alphabet (as the package's ByteLevel decoder does).
std::string RawBytes(const ByteAlphabet& alphabet, std::string_view piece) {
  std::optional<std::string> bytes = alphabet.Decode(piece);
  return bytes.has_value() ? *std::move(bytes) : std::string(piece);
}

std::vector<std::string> MakePieces(const ByteAlphabet& alphabet,
                                    const Vocab& vocab,
                                    const std::vector<AddedToken>& added_tokens) {
  TokenId last = -1;
  for (const auto& [piece, id] : vocab.ids) {
    last = std::max(last, id);
  }
  for (const AddedToken& token : added_tokens) {
    last = std::max(last, token.id);
  }
  std::vector<std::string> pieces(static_cast<size_t>(last + 1));
  for (const auto& [piece, id] : vocab.ids) {
    pieces[static_cast<size_t>(id)] = RawBytes(alphabet, piece);
  }
  for (const AddedToken& token : added_tokens) {
    pieces[static_cast<size_t>(token.id)] = RawBytes(alphabet, token.content);
  }
  return pieces;
}

// The two sides of a merge: ["a", "b"], or "a b" in older files.
absl::StatusOr<std::pair<std::string_view, std::string_view>> ReadPair(const value& json,
                                                                       std::string_view path) {
  if (const array* pair = json.if_array(); pair != nullptr && pair->size() == 2) {
    ASSIGN_OR_RETURN(const std::string_view left, ReadString((*pair)[0], path));
    ASSIGN_OR_RETURN(const std::string_view right, ReadString((*pair)[1], path));
    return std::pair(left, right);
  }
  if (json.is_string()) {
    const std::string_view text(json.get_string().data(), json.get_string().size());
    const size_t blank = text.find(' ');
    if (blank != std::string_view::npos && text.find(' ', blank + 1) == std::string_view::npos) {
      return std::pair(text.substr(0, blank), text.substr(blank + 1));
    }
  }
  return InvalidArgument("%s: expected \"a b\" or [\"a\", \"b\"]", path);
}

absl::StatusOr<std::vector<BpeMerge>> ReadMerges(const JsonFields& model,
                                                 const Vocab& vocab,
                                                 const absl::flat_hash_set<TokenId>& added) {
  ASSIGN_OR_RETURN(const array* list, model.Array("merges"));
  std::vector<BpeMerge> merges;
  merges.reserve(list->size());
  absl::flat_hash_set<std::pair<TokenId, TokenId>> seen;
  seen.reserve(list->size());
  std::string joined;
  for (size_t i = 0; i < list->size(); ++i) {
    const auto path = [i] { return PathOfItem("model.merges", i); };
    ASSIGN_OR_RETURN(const auto pair, ReadPair((*list)[i], "model.merges"));
    joined.assign(pair.first).append(pair.second);
    const auto left = vocab.ids.find(pair.first);
    const auto right = vocab.ids.find(pair.second);
    const auto result = vocab.ids.find(joined);
    if (left == vocab.ids.end() || right == vocab.ids.end() || result == vocab.ids.end()) {
      return InvalidArgument(
          "%s: \"%s\" + \"%s\" is not all in model.vocab", path(), pair.first, pair.second);
    }
    if (added.contains(result->second)) {
      return InvalidArgument("%s: makes the added token \"%s\"", path(), joined);
    }
    if (!seen.emplace(left->second, right->second).second) {
      return InvalidArgument("%s: occurs twice", path());
    }
    merges.push_back({left->second, right->second, result->second});
  }
  return merges;
}

absl::StatusOr<std::array<TokenId, 256>> FindByteIds(const ByteAlphabet& alphabet,
                                                     const Vocab& vocab,
                                                     const absl::flat_hash_set<TokenId>& added) {
  std::array<TokenId, 256> ids = {};
  for (size_t byte = 0; byte < ids.size(); ++byte) {
    const std::string_view piece = alphabet.CharOf(static_cast<uint8_t>(byte));
    const auto entry = vocab.ids.find(piece);
    if (entry == vocab.ids.end() || added.contains(entry->second)) {
      return InvalidArgument("model.vocab: no piece for byte 0x%02X (\"%s\")", byte, piece);
    }
    ids[byte] = entry->second;
  }
  return ids;
}

}  // namespace

absl::StatusOr<TokenizerJson> ReadTokenizerJson(const value& json) {
  TokenizerJson result;
  ASSIGN_OR_RETURN(const JsonFields file, JsonFields::Of(json, "", "tokenizer.json"));
  RETURN_IF_ERROR(RefuseField(file, "truncation"));
  RETURN_IF_ERROR(RefuseField(file, "padding"));
  RETURN_IF_ERROR(CheckNormalizer(file));
  RETURN_IF_ERROR(CheckDecoder(file));
  ASSIGN_OR_RETURN(const value* pre_tokenizer, file.Value("pre_tokenizer"));
  ASSIGN_OR_RETURN(result.pretokenizer, Pretokenizer::FromJson(*pre_tokenizer));
  ASSIGN_OR_RETURN(const JsonFields model, file.Object("model"));
  RETURN_IF_ERROR(CheckModelOptions(model));
  ASSIGN_OR_RETURN(const Vocab vocab, ReadVocab(model));
  ASSIGN_OR_RETURN(result.added_tokens, ReadAddedTokens(file, vocab));
  absl::flat_hash_set<TokenId> added;
  for (const AddedToken& token : result.added_tokens) {
    added.insert(token.id);
  }
  const ByteAlphabet alphabet;
  result.pieces = MakePieces(alphabet, vocab, result.added_tokens);
  ASSIGN_OR_RETURN(result.bpe.byte_ids, FindByteIds(alphabet, vocab, added));
  ASSIGN_OR_RETURN(result.bpe.merges, ReadMerges(model, vocab, added));
  ASSIGN_OR_RETURN(const bool ignore_merges, model.BoolOr("ignore_merges", false));
  if (ignore_merges) {
    for (const auto& [piece, id] : vocab.ids) {
      std::optional<std::string> bytes = alphabet.Decode(piece);
      if (bytes.has_value() && !added.contains(id)) {
        result.bpe.words.push_back({*std::move(bytes), id});
      }
    }
  }
  return result;
}

}  // namespace hadal
