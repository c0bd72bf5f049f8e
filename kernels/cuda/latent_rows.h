#pragma once

// Cache rows of kernels/latent_cache.h in device code.

#include <cstddef>
#include <cuda_runtime.h>

#include "kernels/cuda/device/numeric.h"
#include "kernels/cuda/device/warp.h"
#include "kernels/latent_cache.h"

namespace hadal::cuda {

/// One group of a row with scales, by a warp: its values and scale, as latent_cache.cc rounds them.
__device__ inline void StoreLatentGroup(
    DType dtype, const float* latents, int64_t count, std::byte* values, float* scale) {
  const auto lane = static_cast<int64_t>(threadIdx.x % kWarpSize);
  float magnitude = 0;
  bool is_finite = true;
  for (int64_t i = lane; i < count; i += kWarpSize) {
    magnitude = fmaxf(magnitude, fabsf(latents[i]));
    is_finite = is_finite && isfinite(latents[i]);
  }
  magnitude = WarpMax(magnitude);
  is_finite = __ballot_sync(kAllLanes, is_finite) == kAllLanes;
  float step = magnitude / (dtype == DType::kI8 ? kLargestInt8 : kLargestFp8);
  const bool is_zero = !is_finite || step < 0x1p-126F;
  step = is_finite ? (is_zero ? 0.0F : step) : __uint_as_float(0x7FC00000);
  for (int64_t i = lane; i < count; i += kWarpSize) {
    const float value = is_zero ? 0.0F : latents[i] / step;
    if (dtype == DType::kI8) {
      const float whole = fminf(fmaxf(rintf(value), -kLargestInt8), kLargestInt8);
      reinterpret_cast<int8_t*>(values)[i] = static_cast<int8_t>(whole);
    } else {
      reinterpret_cast<fp8_e4m3*>(values)[i] = RoundToFp8(value);
    }
  }
  if (lane == 0) {
    *scale = step;
  }
}

/// StoreRow by a block of whole warps: `row` [row_width] to the row at `bytes`.
__device__ inline void StoreLatentRow(const LatentCache& cache,
                                      std::byte* bytes,
                                      const float* row) {
  const auto thread = static_cast<int64_t>(threadIdx.x);
  const auto num_threads = static_cast<int64_t>(blockDim.x);
  if (cache.dtype == DType::kF32) {
    for (int64_t i = thread; i < cache.row_width; i += num_threads) {
      reinterpret_cast<float*>(bytes)[i] = row[i];
    }
    return;
  }
  if (cache.dtype == DType::kBf16) {
    for (int64_t i = thread; i < cache.row_width; i += num_threads) {
      reinterpret_cast<bf16*>(bytes)[i] = RoundToBf16(row[i]);
    }
    return;
  }
  const int64_t rank = cache.kv_lora_rank;
  auto* scales = reinterpret_cast<float*>(bytes + LatentScalesOffset(rank));
  const int64_t num_groups = (rank + kLatentGroup - 1) / kLatentGroup;
  for (int64_t group = thread / kWarpSize; group < num_groups; group += num_threads / kWarpSize) {
    const int64_t begin = group * kLatentGroup;
    const int64_t count = rank - begin < kLatentGroup ? rank - begin : kLatentGroup;
    StoreLatentGroup(cache.dtype, row + begin, count, bytes + begin, scales + group);
  }
  auto* key = reinterpret_cast<bf16*>(bytes + LatentKeyOffset(rank));
  for (int64_t i = thread; i < cache.row_width - rank; i += num_threads) {
    key[i] = RoundToBf16(row[rank + i]);
  }
}

/// Element i of the row at `bytes`, of any type.
__device__ __forceinline__ float LatentElement(const LatentCache& cache,
                                               const std::byte* bytes,
                                               int64_t i) {
  if (cache.dtype == DType::kF32) {
    return reinterpret_cast<const float*>(bytes)[i];
  }
  if (cache.dtype == DType::kBf16) {
    return Widen(reinterpret_cast<const bf16*>(bytes)[i]);
  }
  const int64_t rank = cache.kv_lora_rank;
  if (i >= rank) {
    return Widen(reinterpret_cast<const bf16*>(bytes + LatentKeyOffset(rank))[i - rank]);
  }
  const auto* scales = reinterpret_cast<const float*>(bytes + LatentScalesOffset(rank));
  const float value = cache.dtype == DType::kI8
                          ? static_cast<float>(reinterpret_cast<const int8_t*>(bytes)[i])
                          : Widen(reinterpret_cast<const fp8_e4m3*>(bytes)[i]);
  return value * scales[i / kLatentGroup];
}

}  // namespace hadal::cuda
