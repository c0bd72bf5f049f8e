#pragma once

// Which rows a block of a grouped product takes.

#include <cstdint>
#include <cuda_runtime.h>

#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/warp.h"
#include "kernels/cuda/product/gated.h"
#include "kernels/cuda/product/stage.h"

namespace hadal::cuda {

/// Shared memory of a block for its pairs, behind the product's own.
template <int kTokens>
struct PairList {
  int32_t pairs[kTokens];
  uint32_t masks[kProductWarps];  // lanes whose pair goes through the block's expert
};

/// Rows of tile blockIdx.y, of expert `expert`.
struct ExpertTile {
  int64_t expert = 0;
  const int32_t* pairs = nullptr;  // null: from first_row on
  int64_t first_row = 0;
  int64_t num_rows = 0;  // 0: there is no such tile
};

__device__ __forceinline__ int32_t ExpertOf(const ExpertPairs& pairs, int32_t pair) {
  const int32_t token = pair / pairs.experts_per_token;
  const int32_t k = pair % pairs.experts_per_token;
  return k < pairs.num_chosen ? pairs.ids[token * pairs.ids_stride + k]
                              : pairs.num_routed + k - pairs.num_chosen;
}

/// Tile `pair` of few pairs: those that go through the same expert, from this one on, unless it
/// comes in the midst of another tile. Thread i looks at pair i.
template <int kTokens>
__device__ __forceinline__ ExpertTile GatherPairs(const ExpertTiles& tiles,
                                                  int32_t pair,
                                                  PairList<kTokens>& list) {
  const auto thread = static_cast<int32_t>(threadIdx.x);
  const int32_t expert = ExpertOf(tiles.pairs, pair);
  const bool matches = thread < tiles.num_rows && ExpertOf(tiles.pairs, thread) == expert;
  const uint32_t mask = __ballot_sync(kAllLanes, matches);
  if (thread % kWarpSize == 0) {
    list.masks[thread / kWarpSize] = mask;
  }
  __syncthreads();
  // How many of the expert's pairs come before pair i.
  const auto place_of = [&](int32_t i) {
    int32_t place = __popc(list.masks[i / kWarpSize] & ((1U << (i % kWarpSize)) - 1));
    for (int32_t warp = 0; warp < i / kWarpSize; ++warp) {
      place += __popc(list.masks[warp]);
    }
    return place;
  };
  const int32_t first = place_of(pair);
  const int32_t count = place_of(kProductThreads - 1) +
                        static_cast<int32_t>(list.masks[kProductWarps - 1] >> (kWarpSize - 1)) -
                        first;
  if (first % kTokens != 0) {
    return {};
  }
  const int32_t place = place_of(thread) - first;
  if (matches && place >= 0 && place < kTokens) {
    list.pairs[place] = thread;
  }
  __syncthreads();
  return {.expert = expert,
          .pairs = list.pairs,
          .first_row = 0,
          .num_rows = count < kTokens ? count : kTokens};
}

/// Waits for earlier kernels where there are lists or ids to read; with one expert the tile is
/// known at once.
template <int kTokens>
__device__ __forceinline__ ExpertTile FindTile(const ExpertTiles& tiles, PairList<kTokens>& list) {
  const auto index = static_cast<int32_t>(blockIdx.y);
  if (tiles.pairs.ids == nullptr) {
    const int64_t first = int64_t{index} * kTokens;
    const int64_t left = tiles.num_rows - first;
    return {.expert = 0,
            .pairs = nullptr,
            .first_row = first,
            .num_rows = left < kTokens ? left : kTokens};
  }
  WaitForEarlierKernels();
  if (tiles.sorted == nullptr) {
    return GatherPairs<kTokens>(tiles, index, list);
  }
  if (index >= *tiles.num_tiles) {
    return {};
  }
  const int32_t expert = tiles.experts[index];
  const int32_t begin = tiles.begins[index];
  const int32_t left = tiles.ends[expert] - begin;
  const int32_t count = left < kTokens ? left : kTokens;
  for (auto i = static_cast<int32_t>(threadIdx.x); i < count; i += kProductThreads) {
    list.pairs[i] = tiles.sorted[begin + i];
  }
  __syncthreads();
  return {.expert = expert, .pairs = list.pairs, .first_row = 0, .num_rows = count};
}

}  // namespace hadal::cuda
