#pragma once

// How attention is cut into blocks and launches: functions of numbers, for the host and the device.

#include <algorithm>
#include <cstdint>

namespace hadal::cuda {

/// Positions of one part of a context. The cuts are the same whatever else is in the batch.
inline constexpr int64_t kPartPositions = 512;

/// Parts of the longest context that block tables have room for.
constexpr int64_t NumParts(int64_t max_positions) {
  return std::max<int64_t>(1, (max_positions + kPartPositions - 1) / kPartPositions);
}

/// The most parts that products join themselves.
inline constexpr int64_t kMostJoinedParts = 32;

/// Whether products with V_h join the parts that they take, which saves a launch. With the
/// published widths two blocks then read all parts of a row; a launch reads them once, writes a row
/// and has it read by two. Results do not depend on it.
constexpr bool JoinsInProduct(int64_t num_tokens, int64_t num_parts) {
  constexpr int64_t kWorthALaunch = 32;  // 8 MB more to read with 128 heads, mostly from L2
  return num_parts <= kMostJoinedParts && num_tokens * (num_parts - 3) <= kWorthALaunch;
}

/// Query rows (token x head) of each sequence are cut into tiles of `columns`. Sequence `i`, whose
/// first token is `query_start`, has its tiles from this index on, and none of them reaches the
/// first one of sequence i + 1: ceil(a) <= floor(x + a) - floor(x) + 1. So a block finds its tile
/// without a plan, and few blocks have none.
constexpr int64_t FirstQueryTile(int64_t query_start,
                                 int64_t i,
                                 int64_t num_heads,
                                 int64_t columns) {
  return query_start * num_heads / columns + i;
}

/// Blocks that tiles of so many tokens may need.
constexpr int64_t MaxQueryTiles(int64_t num_tokens,
                                int64_t num_sequences,
                                int64_t num_heads,
                                int64_t columns) {
  return num_tokens * num_heads / columns + num_sequences;
}

/// What lies between the kernels for one token, in bytes: its queries, as they are and absorbed,
/// its parts, and its latents.
constexpr int64_t ScratchBytesOfToken(int64_t num_heads,
                                      int64_t num_parts,
                                      int64_t kv_lora_rank,
                                      int64_t nope_dim) {
  const int64_t floats = nope_dim + num_parts * (kv_lora_rank + 2) + 2 * kv_lora_rank;
  return num_heads * floats * int64_t{sizeof(float)};
}

/// Tokens that are attended to at once, so that what lies between the kernels stays below
/// kMaxScratchBytes, unless one token takes more. Results do not depend on it.
inline constexpr int64_t kMaxScratchBytes = int64_t{256} << 20U;
constexpr int64_t TokensAtOnce(int64_t scratch_bytes_of_token) {
  return std::max<int64_t>(1, kMaxScratchBytes / scratch_bytes_of_token);
}

}  // namespace hadal::cuda
