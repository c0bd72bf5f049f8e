#include "kernels/self_test/cache_buffer.h"

#include <algorithm>

#include "kernels/reference/ops.h"
#include "kernels/self_test/random_tensors.h"

namespace hadal::self_test {

CacheBuffer::CacheBuffer(const LatentCache& shape)
    : cache_(shape),
      storage_(static_cast<size_t>(shape.num_blocks * shape.block_size * hadal::RowBytes(shape))) {
  FillWithGuards(storage_.data(), storage_.size());
}

LatentCache CacheBuffer::cache() {
  LatentCache cache = cache_;
  cache.rows = storage_.data();
  return cache;
}

void CacheBuffer::SetRow(int64_t slot, std::span<const float> row) {
  StoreRow(row, slot, cache());
}

std::vector<float> CacheBuffer::Row(int64_t slot) {
  std::vector<float> row;
  for (int64_t i = 0; i < cache_.row_width; ++i) {
    row.push_back(reference::CacheAt(cache(), slot, i));
  }
  return row;
}

std::string CacheBuffer::RowBytes(int64_t slot) const {
  const auto row_bytes = static_cast<size_t>(hadal::RowBytes(cache_));
  const std::byte* row = storage_.data() + static_cast<size_t>(slot) * row_bytes;
  return {reinterpret_cast<const char*>(row), row_bytes};
}

bool CacheBuffer::OthersUntouched(std::span<const int64_t> slots) const {
  std::string guards(static_cast<size_t>(hadal::RowBytes(cache_)), '\0');
  FillWithGuards(guards.data(), guards.size());
  for (int64_t slot = 0; slot < cache_.num_blocks * cache_.block_size; ++slot) {
    const bool may_change = std::find(slots.begin(), slots.end(), slot) != slots.end();
    if (!may_change && RowBytes(slot) != guards) {
      return false;
    }
  }
  return true;
}

}  // namespace hadal::self_test
