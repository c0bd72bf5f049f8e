#include "kernels/scratch_arena.h"

#include <algorithm>
#include <utility>

namespace hadal {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kMinChunkBytes = size_t{1} << 20U;

}  // namespace

absl::Status ScratchArena::Reserve(size_t size_bytes) {
  CHECK(chunks_.empty());
  ASSIGN_OR_RETURN(DeviceBuffer chunk, DeviceBuffer::Allocate(*device_, size_bytes));
  chunks_.push_back(std::move(chunk));
  ++generation_;
  return absl::OkStatus();
}

void* ScratchArena::AllocateBytes(size_t size_bytes) {
  const size_t rounded = (size_bytes + kAlignment - 1) / kAlignment * kAlignment;
  while (top_.chunk < chunks_.size()) {
    const DeviceBuffer& chunk = chunks_[top_.chunk];
    if (rounded <= chunk.size_bytes() - top_.offset) {
      std::byte* data = static_cast<std::byte*>(chunk.data()) + top_.offset;
      top_.offset += rounded;
      return data;
    }
    top_ = {top_.chunk + 1, 0};
  }
  auto chunk =
      DeviceBuffer::Allocate(*device_, std::max({rounded, kMinChunkBytes, capacity_bytes()}));
  CHECK(chunk.ok());
  chunks_.push_back(*std::move(chunk));
  ++generation_;
  top_ = {chunks_.size() - 1, rounded};
  return chunks_.back().data();
}

void ScratchArena::Release(Mark mark) {
  top_ = mark;
  if (mark.chunk == 0 && mark.offset == 0 && chunks_.size() > 1) {
    // All is free: one chunk of the whole size serves the same use without gaps.
    const size_t total = capacity_bytes();
    chunks_.clear();
    auto chunk = DeviceBuffer::Allocate(*device_, total);
    CHECK(chunk.ok());
    chunks_.push_back(*std::move(chunk));
    ++generation_;
  }
}

size_t ScratchArena::capacity_bytes() const {
  size_t total = 0;
  for (const DeviceBuffer& chunk : chunks_) {
    total += chunk.size_bytes();
  }
  return total;
}

}  // namespace hadal
