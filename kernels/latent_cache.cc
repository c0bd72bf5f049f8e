#include "kernels/latent_cache.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hadal {
namespace {

// Values and scale of one group.
void StoreGroup(std::span<const float> latents, int8_t* values, float& scale) {
  constexpr float kHighest = 127;
  float magnitude = 0;
  bool is_finite = true;
  for (const float latent : latents) {
    magnitude = std::max(magnitude, std::abs(latent));
    is_finite = is_finite && std::isfinite(latent);
  }
  scale = magnitude / kHighest;
  std::fill_n(values, latents.size(), int8_t{0});
  if (!is_finite) {
    scale = std::numeric_limits<float>::quiet_NaN();
    return;
  }
  if (scale < std::numeric_limits<float>::min()) {
    scale = 0;  // a scale with fewer bits would not hold the values
    return;
  }
  for (size_t i = 0; i < latents.size(); ++i) {
    const float value = std::nearbyint(latents[i] / scale);
    values[i] = static_cast<int8_t>(std::clamp(value, -kHighest, kHighest));
  }
}

void StoreInt8Row(std::span<const float> row, int64_t kv_lora_rank, std::byte* bytes) {
  auto* values = reinterpret_cast<int8_t*>(bytes);
  auto* scales = reinterpret_cast<float*>(bytes + Int8ScalesOffset(kv_lora_rank));
  auto* key = reinterpret_cast<bf16*>(bytes + Int8KeyOffset(kv_lora_rank));
  const auto latents = row.first(static_cast<size_t>(kv_lora_rank));
  for (size_t begin = 0; begin < latents.size(); begin += kLatentGroup) {
    const size_t count = std::min(latents.size() - begin, size_t{kLatentGroup});
    StoreGroup(latents.subspan(begin, count), values + begin, scales[begin / kLatentGroup]);
  }
  for (const float element : row.subspan(latents.size())) {
    *key++ = ToBf16(element);
  }
}

}  // namespace

int64_t LatentRowBytes(DType dtype, int64_t kv_lora_rank, int64_t row_width) {
  if (dtype != DType::kI8) {
    return row_width * SizeOf(dtype);
  }
  const int64_t key_bytes = (row_width - kv_lora_rank) * SizeOf(DType::kBf16);
  return (Int8KeyOffset(kv_lora_rank) + key_bytes + 3) / 4 * 4;
}

int64_t RowBytes(const LatentCache& cache) {
  return LatentRowBytes(cache.dtype, cache.kv_lora_rank, cache.row_width);
}

std::byte* RowOf(const LatentCache& cache, int64_t slot) {
  return static_cast<std::byte*>(cache.rows) + slot * RowBytes(cache);
}

void StoreRow(std::span<const float> row, int64_t slot, const LatentCache& cache) {
  std::byte* bytes = RowOf(cache, slot);
  if (cache.dtype == DType::kI8) {
    StoreInt8Row(row, cache.kv_lora_rank, bytes);
  } else if (cache.dtype == DType::kF32) {
    std::copy(row.begin(), row.end(), reinterpret_cast<float*>(bytes));
  } else {
    std::transform(row.begin(), row.end(), reinterpret_cast<bf16*>(bytes), &ToBf16);
  }
}

}  // namespace hadal
