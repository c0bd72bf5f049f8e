#pragma once

#include <cstdint>
#include <vector>

#include "base/token_id.h"

namespace hadal {

/// Tokens in one cache block.
inline constexpr int64_t kBlockSize = 64;

/// Blocks that hold so many tokens.
constexpr int64_t NumBlocksFor(int64_t num_tokens) {
  return (num_tokens + kBlockSize - 1) / kBlockSize;
}

/// One step's work: the next tokens of some sequences, flattened. A sequence may bring one token
/// (decoding), many (a prompt or a part of it), or a few (drafts to verify); nothing distinguishes
/// these. Tokens of a sequence stand together, in rising order of position, and all its earlier
/// positions are in the cache already.
///
/// The cache row of position p of sequence i is row p % kBlockSize of block
/// block_tables[i * max_blocks + p / kBlockSize].
struct ForwardBatch {
  std::vector<TokenId> token_ids;     // [num_tokens]
  std::vector<int32_t> positions;     // [num_tokens]
  std::vector<int64_t> slots;         // [num_tokens] block * kBlockSize + row, where each is cached
  std::vector<int32_t> query_starts;  // [num_sequences + 1], from 0 to num_tokens
  std::vector<int32_t> block_tables;  // [num_sequences * max_blocks]
  int64_t max_blocks = 0;             // blocks per sequence in block_tables

  [[nodiscard]] int64_t num_tokens() const { return std::ssize(token_ids); }
  [[nodiscard]] int64_t num_sequences() const { return std::ssize(query_starts) - 1; }
};

}  // namespace hadal
