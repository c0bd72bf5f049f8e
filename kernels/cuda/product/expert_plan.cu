#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/scratch.h"
#include "kernels/cuda/product/expert_plan.h"
#include "kernels/cuda/product/expert_tile.h"
#include "kernels/cuda/product/plan.h"

namespace hadal::cuda {
namespace {

constexpr int kThreads = 512;
// One for each thread of a product's block.
constexpr int64_t kMostUnsortedPairs = kProductThreads;

struct Lists {
  int32_t* sorted;
  int32_t* experts;
  int32_t* begins;
  int32_t* ends;
  int32_t* num_tiles;
};

// One block. Counts pairs of each expert, gives experts their places and tiles, then pairs theirs:
// in which order within an expert is left to chance, since no pair's numbers depend on it.
// Shared: for each expert the next free place, then its first tile.
__global__ void __launch_bounds__(kThreads) SortPairs(
    ExpertPairs pairs, int32_t num_pairs, int32_t num_experts, int32_t tile_tokens, Lists lists) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  auto* places = reinterpret_cast<int32_t*>(DynamicShared());
  int32_t* first_tiles = places + num_experts;
  const auto thread = static_cast<int32_t>(threadIdx.x);
  for (int32_t expert = thread; expert < num_experts; expert += kThreads) {
    places[expert] = 0;
  }
  __syncthreads();
  for (int32_t pair = thread; pair < num_pairs; pair += kThreads) {
    atomicAdd(&places[ExpertOf(pairs, pair)], 1);
  }
  __syncthreads();
  if (thread == 0) {
    int32_t place = 0;
    int32_t tile = 0;
    for (int32_t expert = 0; expert < num_experts; ++expert) {
      const int32_t count = places[expert];
      places[expert] = place;
      first_tiles[expert] = tile;
      place += count;
      lists.ends[expert] = place;
      tile += (count + tile_tokens - 1) / tile_tokens;
    }
    *lists.num_tiles = tile;
  }
  __syncthreads();
  for (int32_t expert = thread; expert < num_experts; expert += kThreads) {
    int32_t tile = first_tiles[expert];
    for (int32_t begin = places[expert]; begin < lists.ends[expert]; begin += tile_tokens) {
      lists.experts[tile] = expert;
      lists.begins[tile] = begin;
      ++tile;
    }
  }
  __syncthreads();
  for (int32_t pair = thread; pair < num_pairs; pair += kThreads) {
    const int32_t place = atomicAdd(&places[ExpertOf(pairs, pair)], 1);
    lists.sorted[place] = pair;
  }
}

}  // namespace

ExpertTiles PlanExperts(const ExpertPairs& pairs, int64_t num_tokens, Scratch& scratch) {
  const int64_t num_pairs = num_tokens * pairs.experts_per_token;
  const int64_t num_experts = pairs.num_routed + pairs.experts_per_token - pairs.num_chosen;
  // As if all experts were chosen equally often.
  const int64_t tile_tokens =
      TileTokens((num_pairs + num_experts - 1) / num_experts, kMostExpertTokens);
  ExpertTiles tiles = {.pairs = pairs, .num_rows = num_pairs, .tile_tokens = tile_tokens};
  if (num_pairs <= kMostUnsortedPairs) {
    tiles.max_tiles = num_pairs;
    return tiles;
  }
  tiles.max_tiles = num_pairs < num_experts ? num_pairs : num_pairs / tile_tokens + num_experts;
  const Lists lists = {.sorted = scratch.Allocate<int32_t>(num_pairs),
                       .experts = scratch.Allocate<int32_t>(tiles.max_tiles),
                       .begins = scratch.Allocate<int32_t>(tiles.max_tiles),
                       .ends = scratch.Allocate<int32_t>(num_experts),
                       .num_tiles = scratch.Allocate<int32_t>(1)};
  Launch("sort_pairs",
         SortPairs,
         {.grid = 1,
          .threads = kThreads,
          .shared_bytes = static_cast<size_t>(2 * num_experts) * sizeof(int32_t)},
         pairs,
         static_cast<int32_t>(num_pairs),
         static_cast<int32_t>(num_experts),
         static_cast<int32_t>(tile_tokens),
         lists);
  tiles.sorted = lists.sorted;
  tiles.experts = lists.experts;
  tiles.begins = lists.begins;
  tiles.ends = lists.ends;
  tiles.num_tiles = lists.num_tiles;
  return tiles;
}

}  // namespace hadal::cuda
