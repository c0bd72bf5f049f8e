#pragma once

#include <string>
#include <vector>

#include <boost/json/value.hpp>

#include "base/status.h"
#include "base/token_id.h"
#include "engine/text/bpe.h"
#include "engine/text/pretokenizer.h"

namespace hadal {

/// A token that has a name of its own and is never made by merges.
struct AddedToken {
  enum class Kind { kPlain, kSpecial };

  TokenId id;
  std::string content;
  Kind kind;  // special tokens are hidden from a model's output
};

/// What Hadal reads of a tokenizer.json.
///
/// Invariants: (1) ids are in [0, 2^24); (2) `pieces` has an entry for each id up to the largest,
/// empty for ids without a token; (3) no merge, byte or word makes the id of an added token, so
/// encoding text never does either; (4) names of added tokens are distinct and not empty.
struct TokenizerJson {
  std::vector<std::string> pieces;  // by id: the raw bytes that the token stands for
  std::vector<AddedToken> added_tokens;
  Pretokenizer pretokenizer;
  Bpe::Args bpe;
};

/// Reads a byte-level BPE tokenizer. InvalidArgument for a malformed or contradictory file,
/// Unimplemented for a feature that would change ids and that Hadal does not have (normalizers,
/// other models, dropout, byte fallback, truncation, …). Messages name the field.
/// `post_processor` is not read: it only adds special tokens, which is the prompt encoder's task.
absl::StatusOr<TokenizerJson> ReadTokenizerJson(const boost::json::value& file);

}  // namespace hadal
