#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/scratch.h"
#include "kernels/cuda/product/expert_plan.h"
#include "kernels/cuda/product/plan.h"

namespace hadal::cuda {
namespace {

constexpr int kThreads = 512;

struct Lists {
  int32_t* tokens;
  int32_t* positions;
  int32_t* experts;
  int32_t* begins;
  int32_t* ends;
  int32_t* num_tiles;
};

// One block. Counts pairs of each expert, gives experts their places and tiles, then pairs theirs:
// in which order within an expert is left to chance, since no pair's numbers depend on it.
// Shared: for each expert the next free place, then its first tile.
__global__ void __launch_bounds__(kThreads) SortPairs(const int32_t* ids,
                                                      int64_t ids_stride,
                                                      int32_t num_tokens,
                                                      int32_t top_k,
                                                      int32_t num_experts,
                                                      int32_t tile_tokens,
                                                      Lists lists) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  auto* places = reinterpret_cast<int32_t*>(DynamicShared());
  int32_t* first_tiles = places + num_experts;
  const auto thread = static_cast<int32_t>(threadIdx.x);
  const int32_t num_pairs = num_tokens * top_k;
  const auto expert_of = [&](int32_t pair) {
    return ids[pair / top_k * ids_stride + pair % top_k];
  };
  for (int32_t expert = thread; expert < num_experts; expert += kThreads) {
    places[expert] = 0;
  }
  __syncthreads();
  for (int32_t pair = thread; pair < num_pairs; pair += kThreads) {
    atomicAdd(&places[expert_of(pair)], 1);
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
    const int32_t place = atomicAdd(&places[expert_of(pair)], 1);
    lists.tokens[place] = pair / top_k;
    lists.positions[pair] = place;
  }
}

constexpr int kCombineThreads = 256;

__global__ void __launch_bounds__(kCombineThreads) CombineRows(const float* rows,
                                                               int64_t rows_stride,
                                                               const int32_t* positions,
                                                               const float* weights,
                                                               int64_t weights_stride,
                                                               int64_t top_k,
                                                               float* y,
                                                               int64_t y_stride,
                                                               int64_t hidden_size) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  const int64_t token = blockIdx.x;
  const int64_t i = int64_t{blockIdx.y} * kCombineThreads + threadIdx.x;
  if (i >= hidden_size) {
    return;
  }
  float sum = y[token * y_stride + i];
  for (int64_t k = 0; k < top_k; ++k) {
    sum +=
        weights[token * weights_stride + k] * rows[positions[token * top_k + k] * rows_stride + i];
  }
  y[token * y_stride + i] = sum;
}

}  // namespace

ExpertPlan PlanExperts(const TensorView<const int32_t, 2>& expert_ids,
                       int64_t num_experts,
                       Scratch& scratch) {
  const int64_t num_tokens = expert_ids.extent(0);
  const int64_t top_k = expert_ids.extent(1);
  const int64_t num_pairs = num_tokens * top_k;
  // As if all experts were chosen equally often.
  const int64_t tile_tokens =
      TileTokens((num_pairs + num_experts - 1) / num_experts, kMostExpertTokens);
  const int64_t max_tiles =
      num_pairs < num_experts ? num_pairs : num_pairs / tile_tokens + num_experts;
  const Lists lists = {.tokens = scratch.Allocate<int32_t>(num_pairs),
                       .positions = scratch.Allocate<int32_t>(num_pairs),
                       .experts = scratch.Allocate<int32_t>(max_tiles),
                       .begins = scratch.Allocate<int32_t>(max_tiles),
                       .ends = scratch.Allocate<int32_t>(num_experts),
                       .num_tiles = scratch.Allocate<int32_t>(1)};
  Launch("sort_pairs",
         SortPairs,
         {.grid = 1,
          .threads = kThreads,
          .shared_bytes = static_cast<size_t>(2 * num_experts) * sizeof(int32_t)},
         expert_ids.data,
         expert_ids.strides[0],
         static_cast<int32_t>(num_tokens),
         static_cast<int32_t>(top_k),
         static_cast<int32_t>(num_experts),
         static_cast<int32_t>(tile_tokens),
         lists);
  return {.tokens = lists.tokens,
          .positions = lists.positions,
          .tiles = {.experts = lists.experts,
                    .begins = lists.begins,
                    .ends = lists.ends,
                    .num_tiles = lists.num_tiles,
                    .max_tiles = max_tiles,
                    .num_rows = num_pairs,
                    .tile_tokens = tile_tokens}};
}

void CombineExperts(const TensorView<const float, 2>& rows,
                    const int32_t* positions,
                    const TensorView<const float, 2>& weights,
                    const TensorView<float, 2>& y) {
  Launch(
      "combine_experts",
      CombineRows,
      {.grid = dim3(static_cast<unsigned>(y.extent(0)),
                    static_cast<unsigned>((y.extent(1) + kCombineThreads - 1) / kCombineThreads)),
       .threads = kCombineThreads},
      rows.data,
      rows.strides[0],
      positions,
      weights.data,
      weights.strides[0],
      weights.extent(1),
      y.data,
      y.strides[0],
      y.extent(1));
}

}  // namespace hadal::cuda
