#include "kernels/cpu/attention/attention.h"

#include <algorithm>

namespace hadal::cpu {

int64_t CacheRowBytes(const LatentCache& cache) {
  return cache.row_width * SizeOf(cache.dtype);
}

const std::byte* CacheRow(const LatentCache& cache,
                          std::span<const int32_t> block_table,
                          int64_t position) {
  const int64_t block = block_table[static_cast<size_t>(position / cache.block_size)];
  const int64_t slot = block * cache.block_size + position % cache.block_size;
  return static_cast<const std::byte*>(cache.rows) + slot * CacheRowBytes(cache);
}

void WidenRows(const Attention& attention,
               std::span<const int32_t> block_table,
               int64_t begin,
               int64_t count,
               const TensorView<float, 2>& rows) {
  const LatentCache& cache = attention.args.cache;
  for (int64_t i = 0; i < count; ++i) {
    const void* stored = CacheRow(cache, block_table, begin + i);
    float* row = rows.Row(i).data();
    if (cache.dtype == DType::kF32) {
      std::copy_n(static_cast<const float*>(stored), cache.row_width, row);
    } else {
      attention.vector.widen_bf16(static_cast<const bf16*>(stored), cache.row_width, row);
    }
  }
}

}  // namespace hadal::cpu
