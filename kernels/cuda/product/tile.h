#pragma once

// The loop of every product: a block multiplies 64 weight rows by some input rows. The weight is
// the left operand of matrix instructions, 16 rows for each warp, the inputs the right one, 8 for
// each instruction: one to eight inputs so cost one pass over the weights.

#include "kernels/cuda/product/stage.h"

namespace hadal::cuda {

/// Sums of a warp's 16 weight rows and the block's inputs: lane 4g + t holds, of inputs 8n + 2t and
/// 8n + 2t + 1, row g in [n][0] and [n][1], row g + 8 in [n][2] and [n][3].
template <int kTokens>
using TileSums = float[kTokens / 8][4];

template <int kTokens>
__device__ __forceinline__ void Clear(TileSums<kTokens>& sums) {
#pragma unroll
  for (int n = 0; n < kTokens / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      sums[n][i] = 0;
    }
  }
}

template <int kTokens>
__device__ __forceinline__ void AddScaled(float scale,
                                          const TileSums<kTokens>& addends,
                                          TileSums<kTokens>& sums) {
#pragma unroll
  for (int n = 0; n < kTokens / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      sums[n][i] = fmaf(scale, addends[n][i], sums[n][i]);
    }
  }
}

/// Adds the products of one stage to `sums`, one for each matrix; of fp8, times the block's scale.
template <typename Weight, int kTokens, int kMatrices>
__device__ __forceinline__ void MultiplyStage(const std::byte* stage,
                                              const TileWeight (&weights)[kMatrices],
                                              const TileTask& task,
                                              int64_t step,
                                              TileSums<kTokens> (&sums)[kMatrices]) {
  using Ring = Stage<Weight, kTokens, kMatrices>;
  TileSums<kTokens> blocks[kMatrices];
  if constexpr (Ring::kIsFp8) {
#pragma unroll
    for (int matrix = 0; matrix < kMatrices; ++matrix) {
      Clear<kTokens>(blocks[matrix]);
    }
  }
  TileSums<kTokens>(&targets)[kMatrices] = Ring::kIsFp8 ? blocks : sums;
#pragma unroll
  for (int k = 0; k < Ring::kCols / 16; ++k) {
    uint32_t a[kMatrices][4];
#pragma unroll
    for (int matrix = 0; matrix < kMatrices; ++matrix) {
      Ring::LoadWeights(stage, matrix, k, a[matrix]);
    }
#pragma unroll
    for (int n = 0; n < kTokens / 8; ++n) {
      uint32_t high[2];
      uint32_t low[2];
      Ring::LoadInputs(stage, n, k, high, low);
#pragma unroll
      for (int matrix = 0; matrix < kMatrices; ++matrix) {
        MultiplyBf16(targets[matrix][n], a[matrix], high);
        MultiplyBf16(targets[matrix][n], a[matrix], low);
      }
    }
  }
  if constexpr (Ring::kIsFp8) {
    const int64_t row = task.first_row + static_cast<int64_t>(threadIdx.x / kWarpSize) * kWarpRows;
#pragma unroll
    for (int matrix = 0; matrix < kMatrices; ++matrix) {
      const TileWeight& weight = weights[matrix];
      const float scale =
          row < weight.rows ? weight.scales[row / weight.block_rows * weight.scales_per_row + step]
                            : 0.0F;
      AddScaled<kTokens>(scale, blocks[matrix], sums[matrix]);
    }
  }
}

/// Adds the products of the task's steps to `sums`; calls after_step(i) behind each. The weights of
/// the first stages are on their way before it waits for earlier kernels, so all that `weights` and
/// `task` hold must be known by then.
template <typename Weight, int kTokens, int kMatrices, typename AfterStep>
__device__ __forceinline__ void MultiplySteps(const TileWeight (&weights)[kMatrices],
                                              const TileTask& task,
                                              TileSums<kTokens> (&sums)[kMatrices],
                                              AfterStep after_step) {
  using Ring = Stage<Weight, kTokens, kMatrices>;
  std::byte* ring = DynamicShared();
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i) {
    if (i < task.num_steps) {
      Ring::CopyWeights(ring + i * Ring::kBytes, weights, task, task.first_step + i);
    }
  }
  WaitForEarlierKernels();
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i) {
    if (i < task.num_steps) {
      Ring::CopyInputs(ring + i * Ring::kBytes, task, weights[0].cols, task.first_step + i);
    }
    CommitCopies();
  }
  for (int64_t i = 0; i < task.num_steps; ++i) {
    WaitForCopies<kStages - 2>();
    __syncthreads();  // the stage is there, and the one before is free
    const int64_t next = i + kStages - 1;
    if (next < task.num_steps) {
      std::byte* stage = ring + next % kStages * Ring::kBytes;
      Ring::CopyWeights(stage, weights, task, task.first_step + next);
      Ring::CopyInputs(stage, task, weights[0].cols, task.first_step + next);
    }
    CommitCopies();
    MultiplyStage<Weight, kTokens, kMatrices>(
        ring + i % kStages * Ring::kBytes, weights, task, task.first_step + i, sums);
    after_step(i);
  }
}

/// Calls store(row, input, total...) for each element that this lane holds and that exists.
template <int kTokens, int kMatrices, typename Store>
__device__ __forceinline__ void ForEachTotal(const TileTask& task,
                                             int64_t num_rows,
                                             const TileSums<kTokens> (&totals)[kMatrices],
                                             Store store) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int64_t first_row =
      task.first_row + static_cast<int64_t>(threadIdx.x / kWarpSize) * kWarpRows + lane / 4;
#pragma unroll
  for (int n = 0; n < kTokens / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int64_t row = first_row + i / 2 * 8;
      const int input = n * 8 + lane % 4 * 2 + i % 2;
      if (row < num_rows && input < task.num_inputs) {
        if constexpr (kMatrices == 2) {
          store(row, input, totals[0][n][i], totals[1][n][i]);
        } else {
          store(row, input, totals[0][n][i]);
        }
      }
    }
  }
}

}  // namespace hadal::cuda
