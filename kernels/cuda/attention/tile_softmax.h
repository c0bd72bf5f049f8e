#pragma once

// The softmax of attention/tiles.cu.

#include <cmath>

#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/attention/query_tile.h"
#include "kernels/cuda/attention/swizzle.h"
#include "kernels/cuda/attention/tile_shape.h"
#include "kernels/cuda/device/warp.h"

namespace hadal::cuda {

// Softmax of the columns that a warp has scores of, as tiles come: of column i / 2 * 8 + i % 2 of
// the lane's, over positions of all warps.
template <int kColumns>
struct Softmax {
  static constexpr int kCount = Columns<kColumns>::kScoreTiles * 2;

  float top[kCount];          // of all positions so far, -inf before one is seen
  float sum[kCount];          // of the lane's positions
  int last_position[kCount];  // that the column sees, -1 where there is none

  __device__ static int ColumnOf(int i) {
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
    const int group = static_cast<int>(threadIdx.x) / (kWarpSize * kScoreWarps);
    return (group * Columns<kColumns>::kScoreTiles + i / 2) * 8 + lane % 4 * 2 + i % 2;
  }

  __device__ void Begin(const Attention& attention, const QueryTile& tile) {
    for (int i = 0; i < kCount; ++i) {
      const int column = ColumnOf(i);
      top[i] = -INFINITY;
      sum[i] = 0;
      last_position[i] = column < tile.num_rows
                             ? attention.positions[(tile.first_row + column) / attention.num_heads]
                             : -1;
    }
  }

  // Scores as they count, and each column's highest of the warp to exchange[warp][column].
  __device__ void Mask(float (&scores)[kCount / 2][4],
                       int position,
                       float scale,
                       float* exchange) const {
    const int warp = static_cast<int>(threadIdx.x) / kWarpSize % kScoreWarps;
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      float highest = -INFINITY;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float& score = scores[i / 2][half * 2 + i % 2];
        score = isfinite(score) ? score * scale : NAN;
        score = position + half * 8 <= last_position[i] ? score : -INFINITY;
        highest = fmaxf(highest, score);
      }
      for (int distance = 4; distance < kWarpSize; distance *= 2) {
        highest = fmaxf(highest, __shfl_xor_sync(kAllLanes, highest, distance));
      }
      if (threadIdx.x % kWarpSize < 4) {
        exchange[warp * kColumns + ColumnOf(i)] = highest;
      }
    }
  }

  // A column's weights of two positions, `row` and the 8th behind it, in two parts.
  __device__ static void StoreWeights(
      float first, float second, int column, int row, std::byte* to) {
    const SplitPair split = Split(first, second);
    auto* high = reinterpret_cast<uint16_t*>(to + column * kWeightBytes) + row;
    auto* low = reinterpret_cast<uint16_t*>(to + (kColumns + column) * kWeightBytes) + row;
    high[0] = static_cast<uint16_t>(split.high & 0xFFFFU);
    high[8] = static_cast<uint16_t>(split.high >> 16U);
    low[0] = static_cast<uint16_t>(split.low & 0xFFFFU);
    low[8] = static_cast<uint16_t>(split.low >> 16U);
  }

  // What a value of a row with scales counts. A row that the column does not see may have NaN.
  __device__ static float Scaled(float weight, float scale) {
    return weight == 0 ? 0.0F : weight * scale;
  }

  // Weights for scores, in two parts [2][column][position], for each group where there are scales
  // [position][kTileGroups], and what older sums are multiplied by.
  template <bool kHasScales>
  __device__ void Weigh(const float (&scores)[kCount / 2][4],
                        int row,
                        const float* exchange,
                        const float* scales,
                        std::byte* weights,
                        float* factors) {
    // All who share a column have the same.
    const bool writes_factors = static_cast<int>(threadIdx.x) / kWarpSize % kScoreWarps == 0 &&
                                static_cast<int>(threadIdx.x) % kWarpSize / 4 == 0;
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const int column = ColumnOf(i);
      float highest = top[i];
      for (int warp = 0; warp < kScoreWarps; ++warp) {
        highest = fmaxf(highest, exchange[warp * kColumns + column]);
      }
      const float factor = highest == -INFINITY ? 1.0F : expf(top[i] - highest);
      top[i] = highest;
      if (writes_factors) {
        factors[column] = factor;
      }
      float weight[2];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float score = scores[i / 2][half * 2 + i % 2];
        weight[half] = score == -INFINITY ? 0.0F : expf(score - highest);
      }
      sum[i] = sum[i] * factor + weight[0] + weight[1];
      if constexpr (kHasScales) {
#pragma unroll
        for (int group = 0; group < kTileGroups; ++group) {
          StoreWeights(Scaled(weight[0], scales[row * kTileGroups + group]),
                       Scaled(weight[1], scales[(row + 8) * kTileGroups + group]),
                       column,
                       row,
                       weights + group * 2 * kColumns * kWeightBytes);
        }
      } else {
        StoreWeights(weight[0], weight[1], column, row, weights);
      }
    }
  }

  // Sums over all positions, to attention.sums, and the highest scores.
  __device__ void End(const Attention& attention,
                      const QueryTile& tile,
                      int64_t part,
                      float* exchange) {
    const int warp = static_cast<int>(threadIdx.x) / kWarpSize % kScoreWarps;
    const bool is_first = threadIdx.x % kWarpSize < 4;
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      for (int distance = 4; distance < kWarpSize; distance *= 2) {
        sum[i] += __shfl_xor_sync(kAllLanes, sum[i], distance);
      }
      if (is_first) {
        exchange[warp * kColumns + ColumnOf(i)] = sum[i];
      }
    }
    __syncthreads();
    for (int i = 0; i < kCount; ++i) {
      const int column = ColumnOf(i);
      if (is_first && warp == 0 && column < tile.num_rows) {
        float whole = 0;
        for (int w = 0; w < kScoreWarps; ++w) {
          whole += exchange[w * kColumns + column];
        }
        const int64_t index = (tile.first_row + column) * attention.num_parts + part;
        attention.sums[index] = whole;
        attention.highest[index] = top[i];
      }
    }
  }
};

}  // namespace hadal::cuda
