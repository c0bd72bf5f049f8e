#pragma once

// What kernels/cuda/device/warp.h declares, with the same order of additions, but the lanes of a
// warp meet once: a meeting is what takes time here.

#include <array>
#include <cmath>
#include <cstdint>

#include "tests/support/cuda_emulation/emulator.h"
#include "tests/support/cuda_emulation/races.h"

namespace hadal::cuda {

inline constexpr int kWarpSize = 32;
inline constexpr uint32_t kAllLanes = 0xFFFFFFFFU;

/// Every lane's float becomes join(its own, that of the lane `distance` away), for each distance.
template <typename Join>
HADAL_NO_RACES void JoinButterfly(void* const* calls, Join join) {
  std::array<float, kWarpSize> values = {};
  for (size_t lane = 0; lane < kWarpSize; ++lane) {
    values[lane] = *static_cast<const float*>(calls[lane]);
  }
  for (size_t distance = kWarpSize / 2; distance > 0; distance /= 2) {
    const std::array<float, kWarpSize> before = values;
    for (size_t lane = 0; lane < kWarpSize; ++lane) {
      values[lane] = join(before[lane], before[lane ^ distance]);
    }
  }
  for (size_t lane = 0; lane < kWarpSize; ++lane) {
    *static_cast<float*>(calls[lane]) = values[lane];
  }
}

inline void JoinSum(void* const* calls) {
  JoinButterfly(calls, [](float a, float b) { return a + b; });
}

inline void JoinMax(void* const* calls) {
  JoinButterfly(calls, [](float a, float b) { return std::fmax(a, b); });
}

inline float WarpSum(float value) {
  emulation::JoinWarp(kAllLanes, &value, &JoinSum);
  return value;
}

inline float WarpMax(float value) {
  emulation::JoinWarp(kAllLanes, &value, &JoinMax);
  return value;
}

inline float BlockSum(float value, float* shared) {
  const int num_warps = static_cast<int>(blockDim.x) / kWarpSize;
  value = WarpSum(value);
  if (threadIdx.x % kWarpSize == 0) {
    shared[threadIdx.x / kWarpSize] = value;
  }
  emulation::SyncThreads();
  float sum = 0;
  for (int warp = 0; warp < num_warps; ++warp) {
    sum += shared[warp];
  }
  return sum;
}

}  // namespace hadal::cuda
