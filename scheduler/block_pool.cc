#include "scheduler/block_pool.h"

#include "base/check.h"
#include "base/checked_cast.h"

namespace hadal {

BlockPool::BlockPool(int64_t num_blocks) {
  CHECK_GT(num_blocks, 0);
  blocks_.resize(static_cast<size_t>(num_blocks));
  for (int32_t i = CheckedCast<int32_t>(num_blocks) - 1; i >= 0; --i) {
    PushFree(i);
  }
}

std::optional<BlockId> BlockPool::TakeFree() {
  if (free_head_ == kNone) {
    return std::nullopt;
  }
  const auto id = BlockId{free_head_};
  Block& block = At(id);
  free_head_ = block.next;
  block.next = kNone;
  block.ref_count = 1;
  --num_free_;
  return id;
}

std::optional<BlockId> BlockPool::OldestCached() const {
  return oldest_cached_ == kNone ? std::nullopt : std::optional(BlockId{oldest_cached_});
}

void BlockPool::AddRef(BlockId id) {
  Block& block = At(id);
  if (block.ref_count == 0) {
    CHECK(block.kept);
    UnlinkCached(static_cast<int32_t>(id));
  }
  ++block.ref_count;
}

void BlockPool::Release(BlockId id) {
  Block& block = At(id);
  CHECK_GT(block.ref_count, 0);
  if (--block.ref_count > 0) {
    return;
  }
  if (block.kept) {
    PushCached(static_cast<int32_t>(id));
  } else {
    PushFree(static_cast<int32_t>(id));
  }
}

void BlockPool::Keep(BlockId id) {
  Block& block = At(id);
  CHECK_GT(block.ref_count, 0);
  CHECK(!block.kept);
  block.kept = true;
}

void BlockPool::StopKeeping(BlockId id) {
  Block& block = At(id);
  CHECK(block.kept);
  block.kept = false;
  if (block.ref_count == 0) {
    UnlinkCached(static_cast<int32_t>(id));
    PushFree(static_cast<int32_t>(id));
  }
}

BlockPool::Block& BlockPool::At(BlockId block) {
  return const_cast<Block&>(static_cast<const BlockPool*>(this)->At(block));
}

const BlockPool::Block& BlockPool::At(BlockId block) const {
  const auto index = static_cast<int64_t>(block);
  CHECK(index >= 0 && index < num_blocks());
  return blocks_[static_cast<size_t>(index)];
}

void BlockPool::PushFree(int32_t index) {
  At(BlockId{index}).next = free_head_;
  free_head_ = index;
  ++num_free_;
}

void BlockPool::PushCached(int32_t index) {
  Block& block = At(BlockId{index});
  block.previous = newest_cached_;
  block.next = kNone;
  if (newest_cached_ == kNone) {
    oldest_cached_ = index;
  } else {
    At(BlockId{newest_cached_}).next = index;
  }
  newest_cached_ = index;
  ++num_cached_;
}

void BlockPool::UnlinkCached(int32_t index) {
  Block& block = At(BlockId{index});
  if (block.previous == kNone) {
    oldest_cached_ = block.next;
  } else {
    At(BlockId{block.previous}).next = block.next;
  }
  if (block.next == kNone) {
    newest_cached_ = block.previous;
  } else {
    At(BlockId{block.next}).previous = block.previous;
  }
  block.previous = kNone;
  block.next = kNone;
  --num_cached_;
}

void BlockPool::CheckInvariants() const {
  int64_t free = 0;
  for (int32_t i = free_head_; i != kNone; i = At(BlockId{i}).next) {
    CHECK_LT(free, num_blocks());  // a ring would never end
    CHECK_EQ(At(BlockId{i}).ref_count, 0);
    CHECK(!At(BlockId{i}).kept);
    ++free;
  }
  CHECK_EQ(free, num_free_);
  int64_t cached = 0;
  int32_t previous = kNone;
  for (int32_t i = oldest_cached_; i != kNone; i = At(BlockId{i}).next) {
    CHECK_LT(cached, num_blocks());
    CHECK_EQ(At(BlockId{i}).ref_count, 0);
    CHECK(At(BlockId{i}).kept);
    CHECK_EQ(At(BlockId{i}).previous, previous);
    previous = i;
    ++cached;
  }
  CHECK_EQ(previous, newest_cached_);
  CHECK_EQ(cached, num_cached_);
  int64_t used = 0;
  for (const Block& block : blocks_) {
    CHECK_GE(block.ref_count, 0);
    used += block.ref_count > 0 ? 1 : 0;
  }
  CHECK_EQ(used, num_used());
}

}  // namespace hadal
