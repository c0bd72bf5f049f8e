#include "kernels/latent_cache.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hadal {
namespace {

constexpr float LargestValue(int8_t /*type*/) {
  return kLargestInt8;
}
constexpr float LargestValue(fp8_e4m3 /*type*/) {
  return kLargestFp8;
}

void Round(float value, int8_t& rounded) {
  rounded = static_cast<int8_t>(std::clamp(std::nearbyint(value), -kLargestInt8, kLargestInt8));
}
void Round(float value, fp8_e4m3& rounded) {
  rounded = ToFp8E4m3(value);
}

// Values and scale of one group.
template <typename T>
void StoreGroup(std::span<const float> latents, T* values, float& scale) {
  float magnitude = 0;
  bool is_finite = true;
  for (const float latent : latents) {
    magnitude = std::max(magnitude, std::abs(latent));
    is_finite = is_finite && std::isfinite(latent);
  }
  scale = magnitude / LargestValue(T{});
  std::fill_n(values, latents.size(), T{});
  if (!is_finite) {
    scale = std::numeric_limits<float>::quiet_NaN();
    return;
  }
  if (scale < std::numeric_limits<float>::min()) {
    scale = 0;  // a scale with fewer bits would not hold the values
    return;
  }
  for (size_t i = 0; i < latents.size(); ++i) {
    Round(latents[i] / scale, values[i]);
  }
}

template <typename T>
void StoreScaledRow(std::span<const float> row, int64_t kv_lora_rank, std::byte* bytes) {
  auto* values = reinterpret_cast<T*>(bytes);
  auto* scales = reinterpret_cast<float*>(bytes + LatentScalesOffset(kv_lora_rank));
  auto* key = reinterpret_cast<bf16*>(bytes + LatentKeyOffset(kv_lora_rank));
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
  if (!HasLatentScales(dtype)) {
    return row_width * SizeOf(dtype);
  }
  const int64_t key_bytes = (row_width - kv_lora_rank) * SizeOf(DType::kBf16);
  return (LatentKeyOffset(kv_lora_rank) + key_bytes + 3) / 4 * 4;
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
    StoreScaledRow<int8_t>(row, cache.kv_lora_rank, bytes);
  } else if (cache.dtype == DType::kFp8E4m3) {
    StoreScaledRow<fp8_e4m3>(row, cache.kv_lora_rank, bytes);
  } else if (cache.dtype == DType::kF32) {
    std::copy(row.begin(), row.end(), reinterpret_cast<float*>(bytes));
  } else {
    std::transform(row.begin(), row.end(), reinterpret_cast<bf16*>(bytes), &ToBf16);
  }
}

}  // namespace hadal
