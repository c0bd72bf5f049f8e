#pragma once

// The blocks of attention/tiles.cu and their shared memory.

#include <cstdint>
#include <cuda_runtime.h>

#include "kernels/cuda/device/warp.h"
#include "kernels/latent_cache.h"

namespace hadal::cuda {

inline constexpr int kTileWarps = 8;
inline constexpr int kTileThreads = kTileWarps * kWarpSize;
inline constexpr int kTilePositions = 64;
inline constexpr int kScoreWarps = kTilePositions / 16;  // over a tile's positions
inline constexpr int kWeightBytes =
    kTilePositions * 2 + 16;  // a row of weights, padded for its banks

inline constexpr int64_t kMaxRank = 512;
inline constexpr int kDimTiles = kMaxRank / 16 / kTileWarps;  // of latents, of a warp

/// Groups of latents of a row with scales, and with them copies of weights. Rows of fewer groups
/// are no multiple of 16 bytes. Dimension tile d of every warp is in group d.
inline constexpr int kTileGroups = kMaxRank / kLatentGroup;
static_assert(kTileWarps * 16 == kLatentGroup && kTileGroups == kDimTiles);

template <int kColumns>
struct Columns {
  static constexpr int kTiles = kColumns / 8;
  static constexpr int kScoreTiles = kTiles / (kTileWarps / kScoreWarps);  // of a warp
};

/// Where the parts of shared memory begin, after one tile of rows with scales, or two of others.
struct SharedLayout {
  int row_bytes;  // of a tile, and of a query
  int stored;     // rows as the cache has them [kTilePositions], if they have scales
  int scales;     // float [kTilePositions][kTileGroups], the same
  int queries;    // high parts, then low parts
  int weights;    // the same, [column][position], for each group
  int exchange;   // float [kScoreWarps][columns]
  int factors;    // float [columns]
  int size_bytes;
};

/// `stored_bytes`: of a row with scales, 0 for others.
__host__ __device__ constexpr SharedLayout LayoutOf(int row_width, int columns, int stored_bytes) {
  const bool has_scales = stored_bytes > 0;
  SharedLayout layout = {};
  layout.row_bytes = row_width * 2;
  layout.stored = (has_scales ? 1 : 2) * kTilePositions * layout.row_bytes;
  layout.scales = layout.stored + kTilePositions * stored_bytes;
  layout.queries = layout.scales + (has_scales ? kTilePositions * kTileGroups * 4 : 0);
  layout.weights = layout.queries + 2 * columns * layout.row_bytes;
  layout.exchange = layout.weights + (has_scales ? kTileGroups : 1) * 2 * columns * kWeightBytes;
  layout.factors = layout.exchange + kScoreWarps * columns * 4;
  layout.size_bytes = layout.factors + columns * 4;
  return layout;
}

}  // namespace hadal::cuda
