#pragma once

// Sums and maxima over the threads of a warp or a block, in an order that depends on nothing but
// the number of threads.

#include <cstdint>
#include <cuda_runtime.h>

namespace hadal::cuda {

inline constexpr int kWarpSize = 32;
inline constexpr uint32_t kAllLanes = 0xFFFFFFFFU;

/// The sum over the warp, in every lane.
__device__ __forceinline__ float WarpSum(float value) {
  for (int lanes = kWarpSize / 2; lanes > 0; lanes /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, lanes);
  }
  return value;
}

/// The largest of the warp, in every lane; a NaN is passed over unless all are.
__device__ __forceinline__ float WarpMax(float value) {
  for (int lanes = kWarpSize / 2; lanes > 0; lanes /= 2) {
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, lanes));
  }
  return value;
}

/// The sum over a block of whole warps, in every thread. `shared` has a float for each warp, and is
/// free again after the block's next barrier.
__device__ __forceinline__ float BlockSum(float value, float* shared) {
  const int num_warps = static_cast<int>(blockDim.x) / kWarpSize;
  value = WarpSum(value);
  if (threadIdx.x % kWarpSize == 0) {
    shared[threadIdx.x / kWarpSize] = value;
  }
  __syncthreads();
  float sum = 0;
  for (int warp = 0; warp < num_warps; ++warp) {
    sum += shared[warp];
  }
  return sum;
}

}  // namespace hadal::cuda
