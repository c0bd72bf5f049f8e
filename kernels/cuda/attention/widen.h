#pragma once

// Numbers of one byte as bf16, exactly, without instructions that convert.

#include <cstdint>
#include <cuda_runtime.h>

#include "kernels/cuda/device/ptx.h"

namespace hadal::cuda {

/// The e4m3 numbers in bytes 1 and 3 as bf16; a NaN becomes ±480. Their bits, moved, are 2^-120 of
/// them.
__device__ __forceinline__ uint32_t WidenOddFp8ToBf16(uint32_t values) {
  const uint32_t bits = (values & 0x80008000U) | (values & 0x7F007F00U) >> 4U;
  return MultiplyAddBf16(bits, 0x7B807B80U, 0);
}

/// Four e4m3 numbers, of which none is NaN, as bf16.
__device__ __forceinline__ uint2 WidenFp8ToBf16(uint32_t values) {
  return {WidenOddFp8ToBf16(__byte_perm(values, 0, 0x1404)),
          WidenOddFp8ToBf16(__byte_perm(values, 0, 0x3424))};
}

/// Four int8 numbers as bf16: of each, 128 + its lower 7 bits, less 128 or with the sign bit 256.
__device__ __forceinline__ uint2 WidenInt8ToBf16(uint32_t values) {
  const auto widen = [](uint32_t lower_bytes) {
    return MultiplyAddBf16((lower_bytes & 0x007F007FU) | 0x43004300U,
                           0x3F803F80U,
                           (lower_bytes & 0x00800080U) | 0xC300C300U);
  };
  return {widen(__byte_perm(values, 0, 0x4140)), widen(__byte_perm(values, 0, 0x4342))};
}

}  // namespace hadal::cuda
