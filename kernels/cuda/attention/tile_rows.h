#pragma once

// How cache rows come to the products of attention/tiles.cu: as bf16 numbers, kTilePositions of
// them in a tile, whose rows are swizzled. Rows in bf16 are copied straight into one of two tiles.
// Values of rows with scales are exact in bf16: rows are copied as they are stored and from there
// widened into the only tile, and scales lie beside it, for scores and weights to be multiplied by.
// Either way the next rows are on their way while a tile is in use.

#include <cstddef>
#include <cstdint>
#include <cuda_runtime.h>

#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/attention/swizzle.h"
#include "kernels/cuda/attention/tile_shape.h"
#include "kernels/cuda/attention/widen.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/warp.h"

namespace hadal::cuda {

/// Rows of positions [.., end) of a sequence, tile after tile. `shared` is the block's memory.
template <bool kHasScales>
struct TileRows {
  const Attention& attention;
  const int32_t* table;
  int64_t end;
  std::byte* shared;
  SharedLayout layout;

  /// Begins to copy the tile at `begin`.
  __device__ void Begin(int64_t begin) const {
    Copy(begin);
    CommitCopies();
  }

  /// Waits for the tile at `s`, the next one, and begins to copy the one behind it.
  __device__ std::byte* Take(int64_t s) const {
    const int64_t next = s + kTilePositions;
    if constexpr (kHasScales) {
      WaitForCopies<0>();
      __syncthreads();
      Widen();
      __syncthreads();
    }
    if (next < end) {
      Copy(next);
    }
    CommitCopies();
    if constexpr (!kHasScales) {
      WaitForCopies<1>();
      __syncthreads();
    }
    return Tile(s);
  }

  /// Zeros for infinities and NaN in the latents of the tile at `s`. Queries that see such a row
  /// have NaN for its weight; those that don't must not meet it as 0 * NaN. (Values with scales are
  /// finite.)
  __device__ void ClearNonFinite(int64_t s) const {
    const auto clear = [](uint32_t pair) {
      pair = (pair & 0x7F800000U) == 0x7F800000U ? pair & 0xFFFFU : pair;
      return (pair & 0x7F80U) == 0x7F80U ? pair & 0xFFFF0000U : pair;
    };
    const auto num_chunks = static_cast<int>(attention.cache.kv_lora_rank) / 8;
    for (int r = FirstRow(); r < kTilePositions; r += kTileWarps) {
      for (int chunk = Lane(); chunk < num_chunks; chunk += kWarpSize) {
        auto* words = reinterpret_cast<uint4*>(SwizzledChunk(Tile(s), layout.row_bytes, r, chunk));
        const uint4 before = *words;
        *words = {clear(before.x), clear(before.y), clear(before.z), clear(before.w)};
      }
    }
  }

  /// Of the tile that was taken last, [kTilePositions, kTileGroups].
  __device__ float* Scales() const { return reinterpret_cast<float*>(shared + layout.scales); }

 private:
  // Rows are divided among warps, and chunks of a row among lanes.
  __device__ static int FirstRow() { return static_cast<int>(threadIdx.x) / kWarpSize; }
  __device__ static int Lane() { return static_cast<int>(threadIdx.x) % kWarpSize; }

  __device__ std::byte* Tile(int64_t s) const {
    return kHasScales ? shared
                      : shared + (s / kTilePositions % 2) * kTilePositions * layout.row_bytes;
  }

  // Begins to copy rows of positions [begin, begin + kTilePositions); zeros from `end` on.
  __device__ void Copy(int64_t begin) const {
    const auto row_bytes = static_cast<int>(attention.row_bytes);
    const auto block_size = static_cast<int>(attention.cache.block_size);
    const auto* cache = static_cast<const std::byte*>(attention.cache.rows);
    for (int r = FirstRow(); r < kTilePositions; r += kTileWarps) {
      const auto position = static_cast<int>(begin) + r;
      const bool is_there = position < end;
      const int64_t slot =
          is_there ? int64_t{table[position / block_size]} * block_size + position % block_size : 0;
      const std::byte* row = cache + slot * row_bytes;
      for (int chunk = Lane(); chunk < row_bytes / 16; chunk += kWarpSize) {
        std::byte* to = kHasScales ? shared + layout.stored + r * row_bytes + chunk * 16
                                   : SwizzledChunk(Tile(begin), row_bytes, r, chunk);
        CopyAsync16(to, row + chunk * 16, is_there ? 16 : 0);
      }
    }
  }

  // From the stored rows to the tile and its scales.
  __device__ void Widen() const {
    const auto rank = static_cast<int>(attention.cache.kv_lora_rank);
    const bool is_int8 = attention.cache.dtype == DType::kI8;
    for (int r = FirstRow(); r < kTilePositions; r += kTileWarps) {
      const std::byte* row = shared + layout.stored + r * static_cast<int>(attention.row_bytes);
      const auto chunk_of_tile = [&](int chunk) {
        return reinterpret_cast<uint4*>(SwizzledChunk(shared, layout.row_bytes, r, chunk));
      };
      for (int chunk = Lane(); chunk < rank / 8; chunk += kWarpSize) {
        const uint2 values = *reinterpret_cast<const uint2*>(row + chunk * 8);
        const uint2 low = is_int8 ? WidenInt8ToBf16(values.x) : WidenFp8ToBf16(values.x);
        const uint2 high = is_int8 ? WidenInt8ToBf16(values.y) : WidenFp8ToBf16(values.y);
        *chunk_of_tile(chunk) = {low.x, low.y, high.x, high.y};
      }
      const auto* key = reinterpret_cast<const uint4*>(row + LatentKeyOffset(rank));
      for (int chunk = rank / 8 + Lane(); chunk < layout.row_bytes / 16; chunk += kWarpSize) {
        *chunk_of_tile(chunk) = key[chunk - rank / 8];
      }
      if (Lane() < kTileGroups) {
        const auto* scales = reinterpret_cast<const float*>(row + LatentScalesOffset(rank));
        Scales()[r * kTileGroups + Lane()] = scales[Lane()];
      }
    }
  }
};

}  // namespace hadal::cuda
