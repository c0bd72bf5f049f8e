#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/dtype.h"

namespace hadal {

/// One layer of the paged MLA cache: blocks of `block_size` rows. A row is the normed latent
/// [kv_lora_rank], then the roped key shared by all heads [qk_rope_head_dim] (DeepSeek-V2 paper
/// section 2.1). Row r of block b is slot b * block_size + r.
struct LatentCache {
  void* rows = nullptr;        // [num_blocks * block_size] rows of RowBytes
  DType dtype = DType::kBf16;  // kF32, kBf16, kI8 or kFp8E4m3
  int64_t num_blocks = 0;
  int64_t block_size = 0;
  int64_t row_width = 0;  // kv_lora_rank + qk_rope_head_dim
  int64_t kv_lora_rank = 0;
};

/// A row of dtype kI8 or kFp8E4m3 is a byte for each latent, one float scale for each group of
/// kLatentGroup of them, and the key in bf16, whose few elements have no common range: a latent is
/// value * scale. The scale takes the group's largest magnitude to the largest value, 127 or 448.
/// Rows and scales are aligned to 4 bytes.
inline constexpr int64_t kLatentGroup = 128;
inline constexpr float kLargestInt8 = 127;
inline constexpr float kLargestFp8 = 448;

constexpr bool HasLatentScales(DType dtype) {
  return dtype == DType::kI8 || dtype == DType::kFp8E4m3;
}

/// Where the scales and the key of a row with scales begin, in bytes.
constexpr int64_t LatentScalesOffset(int64_t kv_lora_rank) {
  return (kv_lora_rank + 3) / 4 * 4;
}
constexpr int64_t LatentKeyOffset(int64_t kv_lora_rank) {
  const int64_t num_groups = (kv_lora_rank + kLatentGroup - 1) / kLatentGroup;
  return LatentScalesOffset(kv_lora_rank) + num_groups * int64_t{sizeof(float)};
}

/// Bytes of a row.
int64_t LatentRowBytes(DType dtype, int64_t kv_lora_rank, int64_t row_width);
int64_t RowBytes(const LatentCache& cache);

/// The row of a slot.
std::byte* RowOf(const LatentCache& cache, int64_t slot);

/// Writes `row` [row_width] to a slot, rounded to nearest, ties to even. A group with a NaN or an
/// infinity becomes NaN in a row with scales; one whose scale would be subnormal becomes zeros.
void StoreRow(std::span<const float> row, int64_t slot, const LatentCache& cache);

/// CHECKs that the fields agree with each other and with a row of these widths.
void ValidateCache(const LatentCache& cache, int64_t kv_lora_rank, int64_t row_width);

}  // namespace hadal
