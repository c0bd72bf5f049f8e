#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "base/token_id.h"
#include "scheduler/block_pool.h"
#include "scheduler/request.h"

namespace hadal {

/// Where chains of HashBlock begin.
uint64_t HashSalt(const CacheSalt& salt);

/// Hash of a full block of tokens and all before it: a chain from `parent`, the hash of the block
/// before or of the salt. Says where to look; equality is always checked on tokens.
uint64_t HashBlock(uint64_t parent, std::span<const TokenId> tokens);

/// Full blocks of tokens whose cache rows are computed, found again by those tokens and all before
/// them. A tree: each block hangs below the block of the tokens before it, roots below their salt.
/// Owns the order of giving way together with the pool. Nothing is allocated after construction.
/// Owned by the scheduler's thread.
///
/// Invariants, checked by CheckInvariants:
///   1. A block is in the tree exactly when the pool keeps it.
///   2. The parent of a block in the tree is in the tree, with at least as many references; so the
///      oldest unreferenced block is a leaf, and what is found is a whole chain.
///   3. Hashes can be computed again from salt and tokens along the chain.
class PrefixCache {
 public:
  /// Borrows `pool`.
  explicit PrefixCache(BlockPool& pool);

  struct Match {
    int64_t num_blocks = 0;
    CacheMiss miss = CacheMiss::kNone;
    int64_t position = 0;  // first token not found
  };

  /// The longest chain of blocks that holds `tokens` from the first on, appended to `blocks`.
  /// Takes no references. `hashes` are those of the full blocks of `tokens` that may be found.
  Match Find(const CacheSalt& salt,
             std::span<const TokenId> tokens,
             std::span<const uint64_t> hashes,
             std::vector<BlockId>& blocks) const;

  struct Entry {
    std::optional<BlockId> parent;  // nothing: the first block of a sequence
    CacheSalt salt;
    uint64_t hash;
    std::span<const TokenId> tokens;  // [kBlockSize]
    BlockId block;
  };

  /// Puts a computed block into the tree. Returns the block in the tree with these tokens: that of
  /// `entry`, or an equal one that was there before, which the caller should use instead. Nothing
  /// when it cannot be there: its parent is not, or its hash belongs to other tokens.
  /// REQUIRES: the caller has references to block and parent.
  std::optional<BlockId> Insert(const Entry& entry);

  /// A block to write to, with one reference: a free one, or the cached one that was released
  /// longest ago. Nothing when all are used.
  std::optional<BlockId> Allocate();

  void CheckInvariants() const;

 private:
  static constexpr int32_t kNone = -1;

  struct Node {
    uint64_t hash = 0;
    CacheSalt salt;
    int32_t parent = kNone;
    int32_t first_child = kNone;       // the newest
    int32_t previous_sibling = kNone;  // of the same parent; roots of all salts are siblings
    int32_t next_sibling = kNone;
  };

  [[nodiscard]] std::span<const TokenId> TokensOf(int32_t index) const;
  [[nodiscard]] bool Equal(int32_t index,
                           int32_t parent,
                           const CacheSalt& salt,
                           std::span<const TokenId> tokens) const;
  // Most tokens that `tokens` has in common with the beginning of a child of `parent`; nothing
  // without children of this salt.
  [[nodiscard]] std::optional<int64_t> LongestCommon(int32_t parent,
                                                     const CacheSalt& salt,
                                                     std::span<const TokenId> tokens) const;
  void Link(int32_t index, int32_t parent);
  void Forget(int32_t index);
  int32_t& FirstChild(int32_t parent);
  [[nodiscard]] int32_t FirstChild(int32_t parent) const;

  BlockPool& pool_;
  std::vector<Node> nodes_;      // [num_blocks]
  std::vector<TokenId> tokens_;  // [num_blocks, kBlockSize]
  int32_t first_root_ = kNone;
  absl::flat_hash_map<uint64_t, int32_t> index_;    // by hash
  absl::flat_hash_map<uint64_t, int64_t> evicted_;  // when, by hash; as many as there are blocks
  std::vector<uint64_t> evicted_ring_;              // the same in order of time
  int64_t num_evicted_ = 0;
};

}  // namespace hadal
