#include "kernels/reference/ops.h"

namespace hadal::reference {

float CacheAt(const LatentCache& cache, int64_t slot, int64_t column) {
  const std::byte* row = RowOf(cache, slot);
  if (cache.dtype == DType::kF32) {
    return reinterpret_cast<const float*>(row)[column];
  }
  if (cache.dtype == DType::kBf16) {
    return ToFloat(reinterpret_cast<const bf16*>(row)[column]);
  }
  if (column >= cache.kv_lora_rank) {
    const std::byte* key = row + LatentKeyOffset(cache.kv_lora_rank);
    return ToFloat(reinterpret_cast<const bf16*>(key)[column - cache.kv_lora_rank]);
  }
  const std::byte* scales = row + LatentScalesOffset(cache.kv_lora_rank);
  const float value = cache.dtype == DType::kI8
                          ? static_cast<float>(reinterpret_cast<const int8_t*>(row)[column])
                          : ToFloat(reinterpret_cast<const fp8_e4m3*>(row)[column]);
  return value * reinterpret_cast<const float*>(scales)[column / kLatentGroup];
}

int64_t SlotOf(const LatentCache& cache, std::span<const int32_t> block_table, int64_t position) {
  const int64_t block = block_table[static_cast<size_t>(position / cache.block_size)];
  return block * cache.block_size + position % cache.block_size;
}

}  // namespace hadal::reference
