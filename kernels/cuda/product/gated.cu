#include "base/check.h"
#include "kernels/cuda/device/last_block.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/scratch.h"
#include "kernels/cuda/product/expert_tile.h"
#include "kernels/cuda/product/gated.h"
#include "kernels/cuda/product/tile.h"
#include "kernels/cuda/product/tile_weight.h"

namespace hadal::cuda {
namespace {

// Matrices of some experts, as the product's loop reads them.
struct TileMatrices {
  TileWeight first;
  int64_t payload_bytes;
  int64_t num_scales;

  __device__ __forceinline__ TileWeight Nth(int64_t n) const {
    TileWeight weight = first;
    weight.payload += n * payload_bytes;
    weight.scales += n * num_scales;
    return weight;
  }
};

struct ExpertWeights {
  TileMatrices routed;
  TileMatrices shared;
  int64_t num_routed;
};

TileMatrices MakeTileMatrices(const ExpertMatrices& matrices) {
  return {.first = MakeTileWeight(matrices.first, matrices.row_cols),
          .payload_bytes = matrices.payload_bytes,
          .num_scales = matrices.num_scales};
}

ExpertWeights MakeExpertWeights(const AllExperts& experts) {
  return {.routed = MakeTileMatrices(experts.routed),
          .shared = MakeTileMatrices(experts.shared),
          .num_routed = experts.num_routed};
}

__device__ __forceinline__ TileWeight WeightOf(const ExpertWeights& experts, int64_t expert) {
  return expert < experts.num_routed ? experts.routed.Nth(expert)
                                     : experts.shared.Nth(expert - experts.num_routed);
}

struct Grouped {
  InputRows x;
  int32_t pairs_per_input;  // pairs of one row of x
  ExpertTiles tiles;
  int64_t num_steps;
};

template <int kTokens>
__device__ __forceinline__ TileTask TaskOf(const Grouped& grouped, const ExpertTile& tile) {
  return {.first_row = int64_t{blockIdx.x} * kBlockRows,
          .x = grouped.x,
          .pairs = tile.pairs,
          .pairs_per_input = grouped.pairs_per_input,
          .first_input = tile.first_row,
          .num_inputs = tile.num_rows,
          .first_step = 0,
          .num_steps = grouped.num_steps};
}

// A block for each 64 rows of gate and up, and tile: shared memory has no room for more than three
// on a multiprocessor. Columns that fill up `hidden` become zero.
template <typename Weight, int kTokens>
__global__ void __launch_bounds__(kProductThreads, 3)
    GateAndUp(Grouped grouped, ExpertWeights gate, ExpertWeights up, InputRows hidden) {
  using Ring = Stage<Weight, kTokens, 2>;
  LetNextKernelBegin();
  auto* list = reinterpret_cast<PairList<kTokens>*>(DynamicShared() + kStages * Ring::kBytes);
  const ExpertTile tile = FindTile<kTokens>(grouped.tiles, *list);
  if (tile.num_rows == 0) {
    return;
  }
  const TileTask task = TaskOf<kTokens>(grouped, tile);
  const TileWeight weights[2] = {WeightOf(gate, tile.expert), WeightOf(up, tile.expert)};
  TileSums<kTokens> totals[2];
  Clear<kTokens>(totals[0]);
  Clear<kTokens>(totals[1]);
  MultiplySteps<Weight, kTokens, 2>(weights, task, totals, [](int64_t /*step*/) {});
  ForEachTotal<kTokens, 2>(
      task, hidden.stride, totals, [&](int64_t row, int input, float gated, float scaled) {
        const float value = row < weights[0].rows ? gated / (1.0F + expf(-gated)) * scaled : 0.0F;
        const int64_t at = task.OutputRow(input) * hidden.stride + row;
        if constexpr (Ring::kHasFloats) {
          hidden.floats[at] = value;
        } else {
          SplitFloat(value, hidden.high[at], hidden.low[at]);
        }
      });
}

struct Combined {
  float* rows;  // [num_rows, hidden_size] before they are combined
  int64_t hidden_size;
  const float* weights;
  int64_t weights_stride;
  float* y;
  int64_t y_stride;
  int32_t num_chosen;
  int32_t experts_per_token;
};

__device__ __forceinline__ void CombineElement(const Combined& combined, int64_t token, int64_t i) {
  float sum = combined.y[token * combined.y_stride + i];
  for (int32_t k = 0; k < combined.experts_per_token; ++k) {
    const float weight =
        k < combined.num_chosen ? combined.weights[token * combined.weights_stride + k] : 1.0F;
    const float* row =
        combined.rows + (token * combined.experts_per_token + k) * combined.hidden_size;
    sum += weight * __ldcg(row + i);
  }
  combined.y[token * combined.y_stride + i] = sum;
}

// Tokens that the last block for some rows combines, having waited for the others.
constexpr int64_t kMostTokensAtOnce = 8;
// Row blocks of a hidden size that have a ticket.
constexpr int64_t kNumTickets = 512;
__device__ uint32_t tickets[kNumTickets];

// A block for each 64 rows of the matrix, and tile.
template <typename Weight, int kTokens>
__global__ void __launch_bounds__(kProductThreads) MultiplyGrouped(Grouped grouped,
                                                                   ExpertWeights experts,
                                                                   Combined combined,
                                                                   int32_t num_combined_tokens) {
  using Ring = Stage<Weight, kTokens, 1>;
  LetNextKernelBegin();
  auto* list = reinterpret_cast<PairList<kTokens>*>(DynamicShared() + kStages * Ring::kBytes);
  const ExpertTile tile = FindTile<kTokens>(grouped.tiles, *list);
  const int64_t first_row = int64_t{blockIdx.x} * kBlockRows;
  if (tile.num_rows > 0) {
    const TileTask task = TaskOf<kTokens>(grouped, tile);
    const TileWeight weights[1] = {WeightOf(experts, tile.expert)};
    TileSums<kTokens> totals[1];
    Clear<kTokens>(totals[0]);
    MultiplySteps<Weight, kTokens, 1>(weights, task, totals, [](int64_t /*step*/) {});
    ForEachTotal<kTokens, 1>(
        task, combined.hidden_size, totals, [&](int64_t row, int input, float total) {
          combined.rows[task.OutputRow(input) * combined.hidden_size + row] = total;
        });
  }
  if (num_combined_tokens > 0 && IsLastBlock(&tickets[blockIdx.x], gridDim.y)) {
    for (auto i = static_cast<int32_t>(threadIdx.x); i < num_combined_tokens * kBlockRows;
         i += kProductThreads) {
      if (first_row + i % kBlockRows < combined.hidden_size) {
        CombineElement(combined, i / kBlockRows, first_row + i % kBlockRows);
      }
    }
  }
}

constexpr int kCombineThreads = 256;

// A thread for each element of y.
__global__ void __launch_bounds__(kCombineThreads) CombineRows(Combined combined) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  const int64_t i = int64_t{blockIdx.y} * kCombineThreads + threadIdx.x;
  if (i < combined.hidden_size) {
    CombineElement(combined, blockIdx.x, i);
  }
}

dim3 GridOf(int64_t num_rows, const ExpertTiles& tiles) {
  return dim3(static_cast<unsigned>((num_rows + kBlockRows - 1) / kBlockRows),
              static_cast<unsigned>(tiles.max_tiles));
}

template <typename Weight, int kTokens, int kMatrices>
constexpr size_t kSharedBytes = size_t{kStages} * Stage<Weight, kTokens, kMatrices>::kBytes +
                                sizeof(PairList<kTokens>);

}  // namespace

ExpertMatrices MatricesOf(const TensorView<const MlpWeights, 1>& experts,
                          WeightMatrix MlpWeights::*part) {
  ExpertMatrices matrices = {.first = experts(0).*part, .row_cols = (experts(0).*part).cols};
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

ExpertMatrices CutRows(const WeightMatrix& whole, int64_t rows) {
  const TileWeight weight = MakeTileWeight(whole, whole.cols);
  ExpertMatrices parts = {.first = whole,
                          .row_cols = whole.cols,
                          .payload_bytes = rows * weight.row_bytes,
                          .num_scales = rows / weight.block_rows * weight.scales_per_row};
  parts.first.rows = rows;
  return parts;
}

ExpertMatrices CutColumns(const WeightMatrix& whole, int64_t cols) {
  const bool is_fp8 = whole.format == WeightFormat::kFp8Block;
  ExpertMatrices parts = {.first = whole,
                          .row_cols = whole.cols,
                          .payload_bytes = cols * (is_fp8 ? 1 : 2),
                          .num_scales = is_fp8 ? cols / whole.block_cols : 0};
  parts.first.cols = cols;
  return parts;
}

ExpertTiles OneExpert(int64_t num_rows) {
  const int64_t tokens = TileTokens(num_rows, kMostExpertTokens);
  return {
      .max_tiles = (num_rows + tokens - 1) / tokens, .num_rows = num_rows, .tile_tokens = tokens};
}

InputRows MultiplyGated(const InputRows& x,
                        const AllExperts& gate,
                        const AllExperts& up,
                        const ExpertTiles& tiles,
                        Scratch& scratch) {
  const InputRows hidden =
      AllocateInputRows(tiles.num_rows, gate.routed.first.rows, tiles.tile_tokens, scratch);
  const Grouped grouped = {.x = x,
                           .pairs_per_input = tiles.pairs.experts_per_token,
                           .tiles = tiles,
                           .num_steps = NumSteps(gate.routed.first)};
  ForTileType<kMostExpertTokens>(
      gate.routed.first, tiles.tile_tokens, [&]<typename Weight>(Weight /*element*/, auto tokens) {
        constexpr int kTokens = decltype(tokens)::value;
        Launch("gate_and_up",
               GateAndUp<Weight, kTokens>,
               {.grid = GridOf(hidden.stride, tiles),
                .threads = kProductThreads,
                .shared_bytes = kSharedBytes<Weight, kTokens, 2>},
               grouped,
               MakeExpertWeights(gate),
               MakeExpertWeights(up),
               hidden);
      });
  return hidden;
}

void MultiplyAndCombine(const InputRows& x,
                        const AllExperts& matrices,
                        const ExpertTiles& tiles,
                        const Combination& combination,
                        Scratch& scratch) {
  const int64_t num_tokens = combination.y.extent(0);
  const int64_t hidden_size = matrices.routed.first.rows;
  const Grouped grouped = {
      .x = x, .pairs_per_input = 1, .tiles = tiles, .num_steps = NumSteps(matrices.routed.first)};
  const Combined combined = {.rows = scratch.Allocate<float>(tiles.num_rows * hidden_size),
                             .hidden_size = hidden_size,
                             .weights = combination.weights.data,
                             .weights_stride = combination.weights.strides[0],
                             .y = combination.y.data,
                             .y_stride = combination.y.strides[0],
                             .num_chosen = tiles.pairs.num_chosen,
                             .experts_per_token = tiles.pairs.experts_per_token};
  const dim3 grid = GridOf(hidden_size, tiles);
  const bool at_once = num_tokens <= kMostTokensAtOnce && grid.x <= kNumTickets;
  ForTileType<kMostExpertTokens>(matrices.routed.first,
                                 tiles.tile_tokens,
                                 [&]<typename Weight>(Weight /*element*/, auto tokens) {
                                   constexpr int kTokens = decltype(tokens)::value;
                                   Launch("experts",
                                          MultiplyGrouped<Weight, kTokens>,
                                          {.grid = grid,
                                           .threads = kProductThreads,
                                           .shared_bytes = kSharedBytes<Weight, kTokens, 1>},
                                          grouped,
                                          MakeExpertWeights(matrices),
                                          combined,
                                          at_once ? static_cast<int32_t>(num_tokens) : 0);
                                 });
  if (!at_once) {
    Launch(
        "combine_experts",
        CombineRows,
        {.grid = dim3(static_cast<unsigned>(num_tokens),
                      static_cast<unsigned>((hidden_size + kCombineThreads - 1) / kCombineThreads)),
         .threads = kCombineThreads},
        combined);
  }
}

}  // namespace hadal::cuda
