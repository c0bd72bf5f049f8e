#include "engine/text/tokenizer_json.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include "engine/text/byte_alphabet.h"
#include "engine/text/json_fields.h"

namespace hadal {
namespace {

using boost::json::array;
using boost::json::object;
using boost::json::value;

constexpr int64_t kMaxIds = int64_t{1} << 24U;

// The vocabulary as the file writes it; the keys live in the JSON value.
using Vocab = absl::flat_hash_map<std::string_view, TokenId>;

absl::StatusOr<TokenId> ReadId(const value& json) {
  const int64_t* id = json.if_int64();
  if (id == nullptr || *id < 0 || *id >= kMaxIds) {
    return InvalidArgument("expected an id in [0, %d)", kMaxIds);
  }
  return static_cast<TokenId>(*id);
}

absl::Status RefuseField(const object& json, std::string_view key, std::string_view path) {
  if (FindField(json, key) != nullptr) {
    return Unimplemented("%s: only null is supported", JoinPath(path, key));
  }
  return absl::OkStatus();
}

absl::Status RefuseNonEmpty(const object& json, std::string_view key, std::string_view path) {
  const value* field = FindField(json, key);
  if (field == nullptr) {
    return absl::OkStatus();
  }
  const std::string field_path = JoinPath(path, key);
  ASSIGN_OR_RETURN(const std::string_view text, AsString(*field, field_path));
  if (!text.empty()) {
    return Unimplemented("%s: \"%s\"", field_path, text);
  }
  return absl::OkStatus();
}

absl::Status CheckNormalizer(const object& file) {
  const value* normalizer = FindField(file, "normalizer");
  if (normalizer == nullptr) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const object* fields, AsObject(*normalizer, "normalizer"));
  ASSIGN_OR_RETURN(const std::string_view type, RequireString(*fields, "type", "normalizer"));
  const value* steps = FindField(*fields, "normalizers");
  if (type != "Sequence" || steps == nullptr || !steps->is_array() || !steps->get_array().empty()) {
    return Unimplemented("normalizer: \"%s\" (only an empty Sequence is supported)", type);
  }
  return absl::OkStatus();
}

absl::Status CheckDecoder(const object& file) {
  ASSIGN_OR_RETURN(const value* decoder, RequireField(file, "decoder", ""));
  ASSIGN_OR_RETURN(const object* fields, AsObject(*decoder, "decoder"));
  ASSIGN_OR_RETURN(const std::string_view type, RequireString(*fields, "type", "decoder"));
  if (type != "ByteLevel") {
    return Unimplemented("decoder.type: \"%s\"", type);
  }
  return absl::OkStatus();
}

absl::Status CheckModelOptions(const object& model) {
  ASSIGN_OR_RETURN(const std::string_view type, RequireString(model, "type", "model"));
  if (type != "BPE") {
    return Unimplemented("model.type: \"%s\"", type);
  }
  const value* dropout = FindField(model, "dropout");
  if (dropout != nullptr && !(dropout->is_number() && dropout->to_number<double>() == 0)) {
    return Unimplemented("model.dropout: not 0");
  }
  // `unk_token` and `fuse_unk` cannot matter: every byte has a token.
  RETURN_IF_ERROR(RefuseNonEmpty(model, "continuing_subword_prefix", "model"));
  RETURN_IF_ERROR(RefuseNonEmpty(model, "end_of_word_suffix", "model"));
  ASSIGN_OR_RETURN(const bool byte_fallback, BoolOr(model, "byte_fallback", false, "model"));
  if (byte_fallback) {
    return Unimplemented("model.byte_fallback: true");
  }
  return absl::OkStatus();
}

absl::StatusOr<Vocab> ReadVocab(const object& model) {
  ASSIGN_OR_RETURN(const value* field, RequireField(model, "vocab", "model"));
  ASSIGN_OR_RETURN(const object* json, AsObject(*field, "model.vocab"));
  Vocab vocab;
  vocab.reserve(json->size());
  absl::flat_hash_set<TokenId> ids;
  ids.reserve(json->size());
  for (const auto& [key, id_json] : *json) {
    const std::string_view piece(key.data(), key.size());
    if (piece.empty()) {
      return InvalidArgument("model.vocab: an empty piece");
    }
    const absl::StatusOr<TokenId> read_id = ReadId(id_json);
    if (!read_id.ok()) {
      return InvalidArgument("model.vocab[\"%s\"]: %s", piece, MessageOf(read_id.status()));
    }
    const TokenId id = *read_id;
    if (!ids.insert(id).second) {
      return InvalidArgument("model.vocab[\"%s\"]: id %d is taken by another piece", piece, id);
    }
    vocab.emplace(piece, id);
  }
  return vocab;
}

absl::StatusOr<AddedToken> ReadAddedToken(const value& json, std::string_view path) {
  ASSIGN_OR_RETURN(const object* fields, AsObject(json, path));
  ASSIGN_OR_RETURN(const value* id_json, RequireField(*fields, "id", path));
  const absl::StatusOr<TokenId> id = ReadId(*id_json);
  if (!id.ok()) {
    return Annotate(id.status(), JoinPath(path, "id"));
  }
  ASSIGN_OR_RETURN(const std::string_view content, RequireString(*fields, "content", path));
  ASSIGN_OR_RETURN(const bool special, BoolOr(*fields, "special", false, path));
  if (content.empty()) {
    return InvalidArgument("%s.content: empty", path);
  }
  return AddedToken{
      *id, std::string(content), special ? AddedToken::Kind::kSpecial : AddedToken::Kind::kPlain};
}

absl::StatusOr<std::vector<AddedToken>> ReadAddedTokens(const object& file, const Vocab& vocab) {
  std::vector<AddedToken> tokens;
  const value* field = FindField(file, "added_tokens");
  if (field == nullptr) {
    return tokens;
  }
  ASSIGN_OR_RETURN(const array* list, AsArray(*field, "added_tokens"));
  absl::flat_hash_map<TokenId, std::string_view> piece_of;
  for (const auto& [piece, id] : vocab) {
    piece_of.emplace(id, piece);
  }
  absl::flat_hash_set<std::string> contents;
  absl::flat_hash_set<TokenId> ids;
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string path = IndexPath("added_tokens", i);
    ASSIGN_OR_RETURN(AddedToken token, ReadAddedToken((*list)[i], path));
    if (!contents.insert(token.content).second || !ids.insert(token.id).second) {
      return InvalidArgument("%s: id or content occurs twice", path);
    }
    const auto piece = piece_of.find(token.id);
    const auto entry = vocab.find(token.content);
    if ((piece != piece_of.end() && piece->second != token.content) ||
        (entry != vocab.end() && entry->second != token.id)) {
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
  return alphabet.Decode(piece).value_or(std::string(piece));
}

std::vector<std::string> MakePieces(const ByteAlphabet& alphabet,
                                    const Vocab& vocab,
                                    const std::vector<AddedToken>& added_tokens) {
  TokenId last = -1;
  for (const auto& [piece, id] : vocab) {
    last = std::max(last, id);
  }
  for (const AddedToken& token : added_tokens) {
    last = std::max(last, token.id);
  }
  std::vector<std::string> pieces(static_cast<size_t>(last + 1));
  for (const auto& [piece, id] : vocab) {
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
    ASSIGN_OR_RETURN(const std::string_view left, AsString((*pair)[0], path));
    ASSIGN_OR_RETURN(const std::string_view right, AsString((*pair)[1], path));
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

absl::StatusOr<std::vector<BpeMerge>> ReadMerges(const object& model,
                                                 const Vocab& vocab,
                                                 const absl::flat_hash_set<TokenId>& added) {
  ASSIGN_OR_RETURN(const value* field, RequireField(model, "merges", "model"));
  ASSIGN_OR_RETURN(const array* list, AsArray(*field, "model.merges"));
  std::vector<BpeMerge> merges;
  merges.reserve(list->size());
  absl::flat_hash_set<std::pair<TokenId, TokenId>> seen;
  seen.reserve(list->size());
  std::string joined;
  for (size_t i = 0; i < list->size(); ++i) {
    const auto path = [i] { return IndexPath("model.merges", i); };
    ASSIGN_OR_RETURN(const auto pair, ReadPair((*list)[i], "model.merges"));
    joined.assign(pair.first).append(pair.second);
    const auto left = vocab.find(pair.first);
    const auto right = vocab.find(pair.second);
    const auto result = vocab.find(joined);
    if (left == vocab.end() || right == vocab.end() || result == vocab.end()) {
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
    const auto entry = vocab.find(piece);
    if (entry == vocab.end() || added.contains(entry->second)) {
      return InvalidArgument("model.vocab: no piece for byte 0x%02X (\"%s\")", byte, piece);
    }
    ids[byte] = entry->second;
  }
  return ids;
}

}  // namespace

absl::StatusOr<TokenizerJson> ReadTokenizerJson(const value& json) {
  TokenizerJson result;
  ASSIGN_OR_RETURN(const object* file, AsObject(json, "tokenizer.json"));
  RETURN_IF_ERROR(RefuseField(*file, "truncation", ""));
  RETURN_IF_ERROR(RefuseField(*file, "padding", ""));
  RETURN_IF_ERROR(CheckNormalizer(*file));
  RETURN_IF_ERROR(CheckDecoder(*file));
  ASSIGN_OR_RETURN(const value* pre_tokenizer, RequireField(*file, "pre_tokenizer", ""));
  ASSIGN_OR_RETURN(result.pretokenizer, Pretokenizer::FromJson(*pre_tokenizer));
  ASSIGN_OR_RETURN(const value* model_json, RequireField(*file, "model", ""));
  ASSIGN_OR_RETURN(const object* model, AsObject(*model_json, "model"));
  RETURN_IF_ERROR(CheckModelOptions(*model));
  ASSIGN_OR_RETURN(const Vocab vocab, ReadVocab(*model));
  ASSIGN_OR_RETURN(result.added_tokens, ReadAddedTokens(*file, vocab));
  absl::flat_hash_set<TokenId> added;
  for (const AddedToken& token : result.added_tokens) {
    added.insert(token.id);
  }
  const ByteAlphabet alphabet;
  result.pieces = MakePieces(alphabet, vocab, result.added_tokens);
  ASSIGN_OR_RETURN(result.bpe.byte_ids, FindByteIds(alphabet, vocab, added));
  ASSIGN_OR_RETURN(result.bpe.merges, ReadMerges(*model, vocab, added));
  ASSIGN_OR_RETURN(const bool ignore_merges, BoolOr(*model, "ignore_merges", false, "model"));
  if (ignore_merges) {
    for (const auto& [piece, id] : vocab) {
      std::optional<std::string> bytes = alphabet.Decode(piece);
      if (bytes.has_value() && !added.contains(id)) {
        result.bpe.words.push_back({*std::move(bytes), id});
      }
    }
  }
  return result;
}

}  // namespace hadal
