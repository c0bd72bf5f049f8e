#pragma once

#include <cstddef>
#include <cstdint>
#include <cuda_runtime.h>

#include "kernels/cuda/device/ptx.h"

namespace hadal::cuda {

/// Chunk `chunk` (16 bytes) of row `row` in shared rows of a multiple of 128 bytes: chunks change
/// places within 128 bytes from row to row, so that eight rows' equal chunks lie in all 32 banks.
__device__ __forceinline__ std::byte* SwizzledChunk(std::byte* rows,
                                                    int row_bytes,
                                                    int row,
                                                    int chunk) {
  return rows + row * row_bytes + ((chunk ^ (row & 7)) * 16);
}

/// Two floats as pairs of bf16 numbers, `high + low` within 2^-17 of each.
struct SplitPair {
  uint32_t high;
  uint32_t low;
};

__device__ __forceinline__ SplitPair Split(float first, float second) {
  const uint32_t high = PackBf16(first, second);
  return {
      high,
      PackBf16(first - __uint_as_float(high << 16U), second - __uint_as_float(high & 0xFFFF0000U))};
}

}  // namespace hadal::cuda
