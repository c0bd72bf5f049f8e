#include "kernels/cpu/attention/attention.h"

#include <algorithm>

namespace hadal::cpu {

namespace {

float ValueOf(int8_t value) {
  return static_cast<float>(value);
}
float ValueOf(fp8_e4m3 value) {
  return ToFloat(value);
}

template <typename T>
void WidenScaledRow(const Attention& attention, const std::byte* stored, float* row) {
  const int64_t rank = attention.args.kv_lora_rank;
  const auto* values = reinterpret_cast<const T*>(stored);
  const auto* scales = reinterpret_cast<const float*>(stored + LatentScalesOffset(rank));
  for (int64_t i = 0; i < rank; ++i) {
    row[i] = ValueOf(values[i]) * scales[i / kLatentGroup];
  }
  const auto* key = reinterpret_cast<const bf16*>(stored + LatentKeyOffset(rank));
  attention.vector.widen_bf16(key, attention.rope_dim, row + rank);
}

}  // namespace

const std::byte* CacheRow(const LatentCache& cache,
                          std::span<const int32_t> block_table,
                          int64_t position) {
  const int64_t block = block_table[static_cast<size_t>(position / cache.block_size)];
  const int64_t slot = block * cache.block_size + position % cache.block_size;
  return RowOf(cache, slot);
}

void WidenRows(const Attention& attention,
               std::span<const int32_t> block_table,
               int64_t begin,
               int64_t count,
               const TensorView<float, 2>& rows) {
  const LatentCache& cache = attention.args.cache;
  for (int64_t i = 0; i < count; ++i) {
    const std::byte* stored = CacheRow(cache, block_table, begin + i);
    float* row = rows.Row(i).data();
    if (cache.dtype == DType::kF32) {
      std::copy_n(reinterpret_cast<const float*>(stored), cache.row_width, row);
    } else if (cache.dtype == DType::kI8) {
      WidenScaledRow<int8_t>(attention, stored, row);
    } else if (cache.dtype == DType::kFp8E4m3) {
      WidenScaledRow<fp8_e4m3>(attention, stored, row);
    } else {
      attention.vector.widen_bf16(reinterpret_cast<const bf16*>(stored), cache.row_width, row);
    }
  }
}

}  // namespace hadal::cpu
