#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "base/token_id.h"

namespace hadal {

/// Two neighbouring tokens that become one. Its rank is its place in the list of merges.
struct BpeMerge {
  TokenId left;
  TokenId right;
  TokenId result;
};

/// A whole word that is a token by itself, whatever the merges would make of it.
struct BpeWord {
  std::string bytes;
  TokenId id;
};

/// Byte-pair encoding of single words: starts from bytes and applies the merge of lowest rank,
/// leftmost first, until none applies. Source: Sennrich et al. 2016 (arXiv:1508.07909); ties and
/// order as in the tokenizers package. Immutable; any thread.
class Bpe {
 public:
  struct Args {
    std::array<TokenId, 256> byte_ids;  // the token of each byte
    std::vector<BpeMerge> merges;       // by rank; no pair occurs twice
    std::vector<BpeWord> words;         // empty, or what `ignore_merges` looks up first
  };

  /// Buffers that one caller reuses from word to word; never shared between threads.
  class Scratch {
   private:
    friend class Bpe;

    struct Symbol {
      TokenId id;        // -1: merged into the symbol before it
      int32_t previous;  // -1: none
      int32_t next;      // -1: none
    };

    std::vector<Symbol> symbols_;
    // Rank and position of pairs that may merge: of the word's bytes, sorted, and of symbols that
    // merges made, the lowest on top.
    std::vector<uint64_t> first_candidates_;
    std::vector<uint64_t> heap_;
  };

  /// REQUIRES: ids are not negative.
  explicit Bpe(Args args);

  /// Appends the tokens of `word` to `out`. O(n log n) for n bytes.
  /// REQUIRES: `word` has fewer than 2^31 bytes.
  void Encode(std::string_view word, Scratch& scratch, std::vector<TokenId>& out) const;

 private:
  struct Target {
    int32_t rank;
    TokenId result;
  };

  [[nodiscard]] const Target* Find(TokenId left, TokenId right) const;
  void EncodeShort(std::string_view word, std::vector<TokenId>& out) const;
  void EncodeLong(std::string_view word, Scratch& scratch, std::vector<TokenId>& out) const;
  void AddCandidate(int32_t position,
                    const Scratch& scratch,
                    std::vector<uint64_t>& candidates) const;

  std::array<TokenId, 256> byte_ids_;
  absl::flat_hash_map<uint64_t, Target> targets_;  // by left and right token
  absl::flat_hash_map<std::string, TokenId> words_;
};

}  // namespace hadal
