#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace hadal {

/// One layer of the paged MLA cache: blocks of `block_size` rows. A row is the normed latent
/// [kv_lora_rank], then the roped key shared by all heads [qk_rope_head_dim] (DeepSeek-V2 paper
/// section 2.1). Row r of block b is slot b * block_size + r.
struct LatentCache {
  void* rows = nullptr;        // [num_blocks * block_size, row_width]
  DType dtype = DType::kBf16;  // kF32 or kBf16
  int64_t num_blocks = 0;
  int64_t block_size = 0;
  int64_t row_width = 0;  // kv_lora_rank + qk_rope_head_dim
};

/// CHECKs that the fields agree with each other.
void ValidateCache(const LatentCache& cache, int64_t row_width);

}  // namespace hadal
