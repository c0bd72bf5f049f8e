#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace hadal {

/// A block of the cache, in all layers.
enum class BlockId : int32_t {};

/// Who holds which block: reference counts, the free blocks, and the order in which unreferenced
/// blocks that the prefix cache keeps give way. Sized once; nothing is allocated later. Owned by
/// the scheduler's thread.
///
/// Invariants, checked by CheckInvariants:
///   1. free + cached + used = total. Used: referenced. Cached: unreferenced but kept. Free: rest.
///   2. Free and cached blocks are in exactly one list, used ones in none.
///   3. The list of cached blocks runs from the least to the most recently released.
class BlockPool {
 public:
  /// REQUIRES: num_blocks >= 1.
  explicit BlockPool(int64_t num_blocks);

  /// A free block, now with one reference; nothing when none is free. Cached blocks stay.
  std::optional<BlockId> TakeFree();

  /// The cached block that was released longest ago.
  [[nodiscard]] std::optional<BlockId> OldestCached() const;

  /// One more owner. A cached block is used again. REQUIRES: used or cached.
  void AddRef(BlockId block);

  /// One owner less. Without any, the block becomes cached when it is kept, else free.
  void Release(BlockId block);

  /// Whether the block stays findable without owners. Keeping requires an owner; no longer keeping
  /// a cached block frees it.
  void Keep(BlockId block);
  void StopKeeping(BlockId block);

  [[nodiscard]] int32_t ref_count(BlockId block) const { return At(block).ref_count; }
  [[nodiscard]] bool is_kept(BlockId block) const { return At(block).kept; }
  [[nodiscard]] int64_t num_blocks() const { return static_cast<int64_t>(blocks_.size()); }
  [[nodiscard]] int64_t num_free() const { return num_free_; }
  [[nodiscard]] int64_t num_cached() const { return num_cached_; }
  [[nodiscard]] int64_t num_used() const { return num_blocks() - num_free_ - num_cached_; }
  /// Free now or for the taking.
  [[nodiscard]] int64_t num_available() const { return num_free_ + num_cached_; }

  /// CHECKs the invariants. Linear in the number of blocks.
  void CheckInvariants() const;

 private:
  static constexpr int32_t kNone = -1;

  struct Block {
    int32_t ref_count = 0;
    bool kept = false;
    int32_t previous = kNone;  // in the list of cached blocks
    int32_t next = kNone;      // in the list of free or of cached blocks
  };

  Block& At(BlockId block);
  [[nodiscard]] const Block& At(BlockId block) const;
  void PushFree(int32_t index);
  void PushCached(int32_t index);
  void UnlinkCached(int32_t index);

  std::vector<Block> blocks_;
  int32_t free_head_ = kNone;
  int32_t oldest_cached_ = kNone;
  int32_t newest_cached_ = kNone;
  int64_t num_free_ = 0;
  int64_t num_cached_ = 0;
};

}  // namespace hadal
