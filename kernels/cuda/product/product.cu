#include "kernels/cuda/device/last_block.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/scratch.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/product/product.h"
#include "kernels/cuda/product/tile.h"
#include "kernels/cuda/product/tile_weight.h"

namespace hadal::cuda {
namespace {

// One weight of a launch. Its blocks take 64 of its rows and, when they are split, one segment of
// its columns; the last of those to be done adds the segments' parts, in their order.
struct Target {
  TileWeight weight;
  int64_t num_steps;
  int64_t segment_steps;
  uint32_t num_row_blocks;
  uint32_t num_parts;  // 1: a block sums all segments
  float* parts;        // [num_parts, num_inputs, weight.rows]
  uint32_t first_ticket;
  float* y;
  int64_t y_stride;
  bool adds;
};

struct Dense {
  InputRows x;
  Target targets[2];
  uint32_t second_begin;  // the first block of the second target
};

__device__ __forceinline__ void Emit(const Target& target,
                                     int64_t row,
                                     int64_t input,
                                     float total) {
  float& element = target.y[input * target.y_stride + row];
  element = target.adds ? element + total : total;
}

// A ticket for each 64 rows of the targets whose columns are split.
__device__ uint32_t tickets[2 * kWantedBlocks];

// The block's rows of all inputs, once the last of their parts is there.
__device__ __forceinline__ void AddParts(const Target& target,
                                         int64_t first_row,
                                         int64_t num_inputs) {
  const int64_t num_elements = num_inputs * target.weight.rows;
  for (auto i = static_cast<int>(threadIdx.x); i < num_inputs * kBlockRows; i += kProductThreads) {
    const int64_t row = first_row + i % kBlockRows;
    const int64_t input = i / kBlockRows;
    if (row < target.weight.rows) {
      float sum = 0;
      for (uint32_t part = 0; part < target.num_parts; ++part) {
        sum += __ldcg(target.parts + part * num_elements + input * target.weight.rows + row);
      }
      Emit(target, row, input, sum);
    }
  }
}

// A block for each 64 rows and part of the targets, and kTokens inputs.
template <typename Weight, int kTokens>
__global__ void __launch_bounds__(kProductThreads)
    MultiplyDense(const __grid_constant__ Dense dense) {
  LetNextKernelBegin();
  const bool is_second = blockIdx.x >= dense.second_begin;
  const Target& target = dense.targets[is_second ? 1 : 0];
  const uint32_t block = blockIdx.x - (is_second ? dense.second_begin : 0);
  const uint32_t row_block = block % target.num_row_blocks;
  const uint32_t part = block / target.num_row_blocks;
  const bool splits = target.num_parts > 1;
  const int64_t first_input = int64_t{blockIdx.y} * kTokens;
  const int64_t left = dense.x.num_rows - first_input;
  const int64_t first_step = part * target.segment_steps;
  const int64_t steps_left = target.num_steps - first_step;
  const TileTask task = {.first_row = int64_t{row_block} * kBlockRows,
                         .x = dense.x,
                         .pairs = nullptr,
                         .pairs_per_input = 1,
                         .first_input = first_input,
                         .num_inputs = left < kTokens ? left : kTokens,
                         .first_step = first_step,
                         .num_steps = splits ? min(target.segment_steps, steps_left) : steps_left};
  const TileWeight weights[1] = {target.weight};
  TileSums<kTokens> segment[1];
  TileSums<kTokens> totals[1];
  Clear<kTokens>(segment[0]);
  Clear<kTokens>(totals[0]);
  MultiplySteps<Weight, kTokens, 1>(weights, task, segment, [&](int64_t i) {
    if ((i + 1) % target.segment_steps == 0 || i + 1 == task.num_steps) {
      AddScaled<kTokens>(1.0F, segment[0], totals[0]);
      Clear<kTokens>(segment[0]);
    }
  });
  float* parts = target.parts + part * dense.x.num_rows * target.weight.rows;
  ForEachTotal<kTokens, 1>(
      task, target.weight.rows, totals, [&](int64_t row, int input, float total) {
        const int64_t output = first_input + input;
        if (splits) {
          parts[output * target.weight.rows + row] = total;
        } else {
          Emit(target, row, output, total);
        }
      });
  if (splits && IsLastBlock(&tickets[target.first_ticket + row_block], target.num_parts)) {
    AddParts(target, task.first_row, dense.x.num_rows);
  }
}

struct TargetArgs {
  const WeightMatrix& weight;
  Output output;
  TensorView<float, 2> y;
};

Target MakeTarget(const TargetArgs& args, int64_t num_inputs, Scratch& scratch) {
  const WeightMatrix& weight = args.weight;
  const int64_t num_segments = NumSegments(weight);
  const bool splits = SplitsSegments(num_segments, num_inputs);
  return {
      .weight = MakeTileWeight(weight, weight.cols),
      .num_steps = NumSteps(weight),
      .segment_steps = SegmentSteps(weight),
      .num_row_blocks = static_cast<uint32_t>((weight.rows + kBlockRows - 1) / kBlockRows),
      .num_parts = splits ? static_cast<uint32_t>(num_segments) : 1,
      .parts = splits ? scratch.Allocate<float>(num_segments * num_inputs * weight.rows) : nullptr,
      .first_ticket = 0,
      .y = args.y.data,
      .y_stride = args.y.strides[0],
      .adds = args.output == Output::kAdd};
}

// Weights of one format; the second may be null.
void MultiplyBy(const InputRows& x,
                const TargetArgs& first,
                const TargetArgs* second,
                Scratch& scratch) {
  Dense dense = {.x = x, .targets = {MakeTarget(first, x.num_rows, scratch)}, .second_begin = 0};
  dense.second_begin = dense.targets[0].num_row_blocks * dense.targets[0].num_parts;
  uint32_t num_blocks = dense.second_begin;
  if (second != nullptr) {
    dense.targets[1] = MakeTarget(*second, x.num_rows, scratch);
    dense.targets[1].first_ticket = kWantedBlocks;
    num_blocks += dense.targets[1].num_row_blocks * dense.targets[1].num_parts;
  }
  ForTileType<kMostTileTokens>(
      first.weight, x.num_rows, [&]<typename Weight>(Weight /*element*/, auto tokens) {
        constexpr int kTokens = decltype(tokens)::value;
        Launch(
            "product",
            MultiplyDense<Weight, kTokens>,
            {.grid = dim3(num_blocks, static_cast<unsigned>((x.num_rows + kTokens - 1) / kTokens)),
             .threads = kProductThreads,
             .shared_bytes = size_t{kStages} * Stage<Weight, kTokens, 1>::kBytes},
            dense);
      });
}

}  // namespace

void Multiply(const InputRows& x,
              const WeightMatrix& weight,
              Output output,
              const TensorView<float, 2>& y,
              Scratch& scratch) {
  MultiplyBy(x, {.weight = weight, .output = output, .y = y}, nullptr, scratch);
}

void LinearPair(const LinearArgs& first, const LinearArgs& second, ExecutionContext& context) {
  if (!TakesTensorCores(first.weight) || !TakesTensorCores(second.weight) ||
      first.weight.format != second.weight.format) {
    Linear(first, context);
    Linear(second, context);
    return;
  }
  Scratch scratch(context);
  const TargetArgs target = {.weight = second.weight, .output = second.output, .y = second.y};
  MultiplyBy(MakeInputRows(first.x, TileTokens(first.x.extent(0), kMostTileTokens), scratch),
             {.weight = first.weight, .output = first.output, .y = first.y},
             &target,
             scratch);
}

}  // namespace hadal::cuda
