#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/scratch.h"
#include "kernels/cuda/product/product.h"
#include "kernels/cuda/product/tile.h"
#include "kernels/cuda/product/tile_weight.h"

namespace hadal::cuda {
namespace {

struct Dense {
  TileWeight weight;
  SplitRows x;
  int64_t num_steps;
  int64_t segment_steps;
  bool splits;  // block z takes segment z alone, and y is its part of `parts`
  float* y;     // [num_rows, y_stride], or [num_segments, num_rows, y_stride]
  int64_t y_stride;
  bool adds;
};

// A block for each 64 weight rows, kTokens inputs, and segment when they are split.
template <typename Weight, int kTokens>
__global__ void __launch_bounds__(kProductThreads) MultiplyDense(Dense dense) {
  LetNextKernelBegin();
  const int64_t first_input = int64_t{blockIdx.y} * kTokens;
  const int64_t left = dense.x.num_rows - first_input;
  const int64_t first_step = int64_t{blockIdx.z} * dense.segment_steps;
  const int64_t steps_left = dense.num_steps - first_step;
  const bool is_part = dense.splits && steps_left > dense.segment_steps;
  const TileTask task = {.first_row = int64_t{blockIdx.x} * kBlockRows,
                         .inputs = nullptr,
                         .first_input = first_input,
                         .num_inputs = left < kTokens ? left : kTokens,
                         .high = dense.x.high,
                         .low = dense.x.low,
                         .x_stride = dense.x.stride,
                         .first_step = first_step,
                         .num_steps = is_part ? dense.segment_steps : steps_left};
  const TileWeight weights[1] = {dense.weight};
  TileSums<kTokens> segment[1];
  TileSums<kTokens> totals[1];
  Clear<kTokens>(segment[0]);
  Clear<kTokens>(totals[0]);
  MultiplySteps<Weight, kTokens, 1>(weights, task, segment, [&](int64_t i) {
    if ((i + 1) % dense.segment_steps == 0 || i + 1 == task.num_steps) {
      AddScaled<kTokens>(1.0F, segment[0], totals[0]);
      Clear<kTokens>(segment[0]);
    }
  });
  float* y = dense.y + (int64_t{blockIdx.z} * dense.x.num_rows + first_input) * dense.y_stride;
  ForEachTotal<kTokens, 1>(
      task, dense.weight.rows, totals, [&](int64_t row, int input, float total) {
        float& element = y[input * dense.y_stride + row];
        element = dense.adds ? element + total : total;
      });
}

constexpr int kAddThreads = 256;

// y (+)= the parts, one after the other.
__global__ void __launch_bounds__(kAddThreads) AddParts(const float* parts,
                                                        int64_t num_parts,
                                                        int64_t num_rows,
                                                        int64_t num_cols,
                                                        float* y,
                                                        int64_t y_stride,
                                                        bool adds) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  const int64_t i = int64_t{blockIdx.x} * kAddThreads + threadIdx.x;
  if (i >= num_rows * num_cols) {
    return;
  }
  float sum = 0;
  for (int64_t part = 0; part < num_parts; ++part) {
    sum += parts[part * num_rows * num_cols + i];
  }
  float& element = y[i / num_cols * y_stride + i % num_cols];
  element = adds ? element + sum : sum;
}

}  // namespace

void Multiply(const SplitRows& x,
              const WeightMatrix& weight,
              Output output,
              const TensorView<float, 2>& y,
              Scratch& scratch) {
  const int64_t num_segments = NumSegments(weight);
  const bool splits = SplitsSegments(num_segments, x.num_rows);
  const bool adds = output == Output::kAdd;
  Dense dense = {.weight = MakeTileWeight(weight),
                 .x = x,
                 .num_steps = NumSteps(weight),
                 .segment_steps = SegmentSteps(weight),
                 .splits = splits,
                 .y = y.data,
                 .y_stride = y.strides[0],
                 .adds = adds && !splits};
  if (splits) {
    dense.y = scratch.Allocate<float>(num_segments * x.num_rows * weight.rows);
    dense.y_stride = weight.rows;
  }
  ForTileType<kMostTileTokens>(
      weight, x.num_rows, [&]<typename Weight>(Weight /*element*/, auto tokens) {
        constexpr int kTokens = decltype(tokens)::value;
        Launch("product",
               MultiplyDense<Weight, kTokens>,
               {.grid = dim3(static_cast<unsigned>((weight.rows + kBlockRows - 1) / kBlockRows),
                             static_cast<unsigned>((x.num_rows + kTokens - 1) / kTokens),
                             static_cast<unsigned>(splits ? num_segments : 1)),
                .threads = kProductThreads,
                .shared_bytes = size_t{kStages} * Stage<Weight, kTokens, 1>::kBytes},
               dense);
      });
  if (splits) {
    const int64_t num_elements = x.num_rows * weight.rows;
    Launch("add_parts",
           AddParts,
           {.grid = dim3(static_cast<unsigned>((num_elements + kAddThreads - 1) / kAddThreads)),
            .threads = kAddThreads},
           static_cast<const float*>(dense.y),
           num_segments,
           x.num_rows,
           weight.rows,
           y.data,
           y.strides[0],
           adds);
  }
}

}  // namespace hadal::cuda
