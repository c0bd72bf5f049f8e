#pragma once

// A row of logits and the weights of its tokens, as a block of kRowThreads threads sees it.

#include <cfloat>
#include <cstddef>
#include <cstdint>
#include <cuda_runtime.h>

#include <climits>

#include "kernels/cuda/device/warp.h"
#include "kernels/cuda/sample/exact_math.h"

namespace hadal::cuda {

inline constexpr int kRowThreads = 1024;
inline constexpr int kRowWarps = kRowThreads / kWarpSize;
static_assert(kRowWarps == kWarpSize, "a warp looks at a number of each warp");
static_assert(kStripTokens == 2 * kWarpSize, "a lane has two tokens of a strip");

__device__ __forceinline__ int32_t WarpId() {
  return static_cast<int32_t>(threadIdx.x) / kWarpSize;
}
__device__ __forceinline__ int32_t LaneId() {
  return static_cast<int32_t>(threadIdx.x) % kWarpSize;
}

/// Tokens in order, the heaviest first and lower ids first among equals, up to and with a last one.
struct Cut {
  float weight = 0;
  int32_t last_token = INT_MAX;  // of those of that weight

  __device__ __forceinline__ bool Keeps(float token_weight, int32_t token) const {
    return token_weight > weight || (token_weight == weight && token <= last_token);
  }
};

struct Row {
  const float* logits;    // [vocab_size]
  const float* heaviest;  // [num_strips] the weight of each strip's heaviest token
  int32_t vocab_size;
  int32_t num_strips;
  float highest;
  float scale;

  __device__ __forceinline__ float WeightOf(int32_t token) const {
    return ExactExp(logits[token], highest, scale);
  }

  /// Calls visit(weight, token) for both of the lane's tokens in a strip, as far as there are such.
  template <typename Visitor>
  __device__ __forceinline__ void VisitStrip(int32_t strip, Visitor visit) const {
    const int32_t first = strip * static_cast<int32_t>(kStripTokens) + LaneId();
    const int32_t second = first + kWarpSize;
    const float first_weight = first < vocab_size ? WeightOf(first) : 0;
    const float second_weight = second < vocab_size ? WeightOf(second) : 0;
    visit(first_weight, first);
    visit(second_weight, second);
  }

  /// Calls visit(weight, token) for all tokens of strips that have one of weight `least` or more,
  /// and may do so with a weight of 0 for others. Warps share the strips, and read some of them at
  /// once.
  template <typename Visitor>
  __device__ __forceinline__ void VisitTokens(float least, Visitor visit) const {
    constexpr int kAtOnce = 4;
    for (int32_t begin = WarpId() * kAtOnce; begin < num_strips; begin += kRowWarps * kAtOnce) {
      float values[kAtOnce][2];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const int32_t strip = begin + i;
        const bool matters = strip < num_strips && heaviest[strip] > 0 && heaviest[strip] >= least;
        const int32_t first = strip * static_cast<int32_t>(kStripTokens) + LaneId();
        const int32_t second = first + kWarpSize;
        values[i][0] = matters && first < vocab_size ? logits[first] : -INFINITY;
        values[i][1] = matters && second < vocab_size ? logits[second] : -INFINITY;
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const int32_t first = (begin + i) * static_cast<int32_t>(kStripTokens) + LaneId();
        visit(ExactExp(values[i][0], highest, scale), first);
        visit(ExactExp(values[i][1], highest, scale), first + kWarpSize);
      }
    }
  }
};

}  // namespace hadal::cuda
