#include "base/check.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/scratch.h"
#include "kernels/cuda/product/gated.h"
#include "kernels/cuda/product/tile.h"
#include "kernels/cuda/product/tile_weight.h"

namespace hadal::cuda {
namespace {

// Matrices of all experts, as the product's loop reads them.
struct ExpertWeights {
  TileWeight first;
  int64_t payload_bytes;
  int64_t num_scales;
};

ExpertWeights MakeExpertWeights(const ExpertMatrices& matrices) {
  return {.first = MakeTileWeight(matrices.first),
          .payload_bytes = matrices.payload_bytes,
          .num_scales = matrices.num_scales};
}

__device__ __forceinline__ TileWeight WeightOf(const ExpertWeights& experts, int64_t expert) {
  TileWeight weight = experts.first;
  weight.payload += expert * experts.payload_bytes;
  weight.scales += expert * experts.num_scales;
  return weight;
}

struct Grouped {
  SplitRows x;
  const int32_t* inputs;  // rows of x; null: the tile's own
  ExpertTiles tiles;
  int64_t num_steps;
};

// What block y does: false when there is no such tile. Lists are read when earlier kernels are
// done; with one expert the task is known at once.
template <int kTokens>
__device__ __forceinline__ bool FindTask(const Grouped& grouped, TileTask& task, int64_t& expert) {
  const ExpertTiles& tiles = grouped.tiles;
  int64_t begin = int64_t{blockIdx.y} * kTokens;
  int64_t end = tiles.num_rows;
  expert = 0;
  if (tiles.experts != nullptr) {
    WaitForEarlierKernels();
    if (static_cast<int32_t>(blockIdx.y) >= *tiles.num_tiles) {
      return false;
    }
    expert = tiles.experts[blockIdx.y];
    begin = tiles.begins[blockIdx.y];
    end = tiles.ends[expert];
  }
  task = {.first_row = int64_t{blockIdx.x} * kBlockRows,
          .inputs = grouped.inputs == nullptr ? nullptr : grouped.inputs + begin,
          .first_input = begin,
          .num_inputs = end - begin < kTokens ? end - begin : kTokens,
          .high = grouped.x.high,
          .low = grouped.x.low,
          .x_stride = grouped.x.stride,
          .first_step = 0,
          .num_steps = grouped.num_steps};
  return true;
}

// A block for each 64 rows of gate and up, and tile. Columns that fill up `hidden` become zero.
template <typename Weight, int kTokens>
__global__ void __launch_bounds__(kProductThreads)
    GateAndUp(Grouped grouped, ExpertWeights gate, ExpertWeights up, SplitRows hidden) {
  LetNextKernelBegin();
  TileTask task;
  int64_t expert = 0;
  if (!FindTask<kTokens>(grouped, task, expert)) {
    return;
  }
  const TileWeight weights[2] = {WeightOf(gate, expert), WeightOf(up, expert)};
  TileSums<kTokens> totals[2];
  Clear<kTokens>(totals[0]);
  Clear<kTokens>(totals[1]);
  MultiplySteps<Weight, kTokens, 2>(weights, task, totals, [](int64_t /*step*/) {});
  ForEachTotal<kTokens, 2>(
      task, hidden.stride, totals, [&](int64_t row, int input, float gated, float scaled) {
        const float value = row < weights[0].rows ? gated / (1.0F + expf(-gated)) * scaled : 0.0F;
        const int64_t at = (task.first_input + input) * hidden.stride + row;
        SplitFloat(value, hidden.high[at], hidden.low[at]);
      });
}

// A block for each 64 rows of the matrix, and tile.
template <typename Weight, int kTokens>
__global__ void __launch_bounds__(kProductThreads)
    MultiplyGrouped(Grouped grouped, ExpertWeights experts, float* y, int64_t y_stride) {
  LetNextKernelBegin();
  TileTask task;
  int64_t expert = 0;
  if (!FindTask<kTokens>(grouped, task, expert)) {
    return;
  }
  const TileWeight weights[1] = {WeightOf(experts, expert)};
  TileSums<kTokens> totals[1];
  Clear<kTokens>(totals[0]);
  MultiplySteps<Weight, kTokens, 1>(weights, task, totals, [](int64_t /*step*/) {});
  ForEachTotal<kTokens, 1>(task, weights[0].rows, totals, [&](int64_t row, int input, float total) {
    y[(task.first_input + input) * y_stride + row] = total;
  });
}

dim3 GridOf(int64_t num_rows, const ExpertTiles& tiles) {
  return dim3(static_cast<unsigned>((num_rows + kBlockRows - 1) / kBlockRows),
              static_cast<unsigned>(tiles.max_tiles));
}

}  // namespace

ExpertMatrices MatricesOf(const TensorView<const MlpWeights, 1>& experts,
                          WeightMatrix MlpWeights::*part) {
  ExpertMatrices matrices = {.first = experts(0).*part};
  const auto distance = [&](int64_t expert) {
    return static_cast<const std::byte*>((experts(expert).*part).payload) -
           static_cast<const std::byte*>(matrices.first.payload);
  };
  if (experts.extent(0) > 1) {
    matrices.payload_bytes = distance(1);
    matrices.num_scales = (experts(1).*part).scales - matrices.first.scales;
  }
  for (int64_t expert = 0; expert < experts.extent(0); ++expert) {
    CHECK_EQ(distance(expert), expert * matrices.payload_bytes);
    CHECK((experts(expert).*part).scales == matrices.first.scales + expert * matrices.num_scales);
  }
  return matrices;
}

ExpertTiles OneExpert(int64_t num_rows) {
  const int64_t tokens = TileTokens(num_rows, kMostExpertTokens);
  return {
      .max_tiles = (num_rows + tokens - 1) / tokens, .num_rows = num_rows, .tile_tokens = tokens};
}

SplitRows MultiplyGated(const SplitRows& x,
                        const int32_t* inputs,
                        const ExpertMatrices& gate,
                        const ExpertMatrices& up,
                        const ExpertTiles& tiles,
                        Scratch& scratch) {
  const SplitRows hidden = AllocateSplitRows(tiles.num_rows, gate.first.rows, scratch);
  const Grouped grouped = {
      .x = x, .inputs = inputs, .tiles = tiles, .num_steps = NumSteps(gate.first)};
  ForTileType<kMostExpertTokens>(
      gate.first, tiles.tile_tokens, [&]<typename Weight>(Weight /*element*/, auto tokens) {
        constexpr int kTokens = decltype(tokens)::value;
        Launch("gate_and_up",
               GateAndUp<Weight, kTokens>,
               {.grid = GridOf(hidden.stride, tiles),
                .threads = kProductThreads,
                .shared_bytes = size_t{kStages} * Stage<Weight, kTokens, 2>::kBytes},
               grouped,
               MakeExpertWeights(gate),
               MakeExpertWeights(up),
               hidden);
      });
  return hidden;
}

void MultiplyExperts(const SplitRows& x,
                     const ExpertMatrices& matrices,
                     const ExpertTiles& tiles,
                     const TensorView<float, 2>& y) {
  const Grouped grouped = {
      .x = x, .inputs = nullptr, .tiles = tiles, .num_steps = NumSteps(matrices.first)};
  ForTileType<kMostExpertTokens>(
      matrices.first, tiles.tile_tokens, [&]<typename Weight>(Weight /*element*/, auto tokens) {
        constexpr int kTokens = decltype(tokens)::value;
        Launch("experts",
               MultiplyGrouped<Weight, kTokens>,
               {.grid = GridOf(matrices.first.rows, tiles),
                .threads = kProductThreads,
                .shared_bytes = size_t{kStages} * Stage<Weight, kTokens, 1>::kBytes},
               grouped,
               MakeExpertWeights(matrices),
               y.data,
               y.strides[0]);
      });
}

}  // namespace hadal::cuda
