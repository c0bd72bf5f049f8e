#include "kernels/reference/ops.h"

namespace hadal::reference {

float CacheAt(const LatentCache& cache, int64_t slot, int64_t column) {
  const int64_t index = slot * cache.row_width + column;
  return cache.dtype == DType::kF32 ? static_cast<const float*>(cache.rows)[index]
                                    : ToFloat(static_cast<const bf16*>(cache.rows)[index]);
}

void SetCacheAt(const LatentCache& cache, int64_t slot, int64_t column, float value) {
  const int64_t index = slot * cache.row_width + column;
  if (cache.dtype == DType::kF32) {
    static_cast<float*>(cache.rows)[index] = value;
  } else {
    static_cast<bf16*>(cache.rows)[index] = ToBf16(value);
  }
}

int64_t SlotOf(const LatentCache& cache, std::span<const int32_t> block_table, int64_t position) {
  const int64_t block = block_table[static_cast<size_t>(position / cache.block_size)];
  return block * cache.block_size + position % cache.block_size;
}

}  // namespace hadal::reference
