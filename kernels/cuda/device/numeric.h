#pragma once

// Numbers of base/dtype.h in device code.

#include <cstdint>
#include <cuda_runtime.h>

#include "base/dtype.h"
#include "kernels/cuda/device/ptx.h"

namespace hadal::cuda {

__device__ __forceinline__ float Widen(float value) {
  return value;
}

__device__ __forceinline__ float Widen(bf16 value) {
  return __uint_as_float(static_cast<uint32_t>(value.bits) << 16U);
}

__device__ __forceinline__ float Widen(f16 value) {
  return WidenF16(value.bits);
}

__device__ __forceinline__ float Widen(fp8_e4m3 value) {
  return WidenF16(static_cast<uint16_t>(WidenFp8(value.bits) & 0xFFFFU));
}

/// Rounds to nearest, ties to even.
__device__ __forceinline__ bf16 RoundToBf16(float value) {
  return {static_cast<uint16_t>(PackBf16(value, 0) & 0xFFFFU)};
}

/// The same; beyond 448 becomes 448.
__device__ __forceinline__ fp8_e4m3 RoundToFp8(float value) {
  return {static_cast<uint8_t>(PackFp8(value, 0) & 0xFFU)};
}

}  // namespace hadal::cuda
