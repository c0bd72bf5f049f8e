#include "kernels/self_test/cache_buffer.h"

#include <algorithm>

#include "kernels/reference/ops.h"
#include "kernels/self_test/random_tensors.h"

namespace hadal::self_test {

CacheBuffer::CacheBuffer(DType dtype, int64_t num_blocks, int64_t block_size, int64_t row_width)
    : cache_{.dtype = dtype,
             .num_blocks = num_blocks,
             .block_size = block_size,
             .row_width = row_width},
      storage_(static_cast<size_t>(num_blocks * block_size * row_width * SizeOf(dtype))) {
  FillWithGuards(storage_.data(), storage_.size());
}

LatentCache CacheBuffer::cache() {
  LatentCache cache = cache_;
  cache.rows = storage_.data();
  return cache;
}

void CacheBuffer::SetRow(int64_t slot, std::span<const float> row) {
  for (size_t i = 0; i < row.size(); ++i) {
    reference::SetCacheAt(cache(), slot, static_cast<int64_t>(i), row[i]);
  }
}

std::vector<float> CacheBuffer::Row(int64_t slot) {
  std::vector<float> row;
  for (int64_t i = 0; i < cache_.row_width; ++i) {
    row.push_back(reference::CacheAt(cache(), slot, i));
  }
  return row;
}

std::string CacheBuffer::RowBytes(int64_t slot) const {
  const auto row_bytes = static_cast<size_t>(cache_.row_width * SizeOf(cache_.dtype));
  const std::byte* row = storage_.data() + static_cast<size_t>(slot) * row_bytes;
  return {reinterpret_cast<const char*>(row), row_bytes};
}

bool CacheBuffer::OthersUntouched(std::span<const int64_t> slots) const {
  std::string guards(static_cast<size_t>(cache_.row_width * SizeOf(cache_.dtype)), '\0');
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
