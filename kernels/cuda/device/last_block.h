#pragma once

#include <cstdint>
#include <cuda_runtime.h>

namespace hadal::cuda {

/// Whether the caller's block is the last of `num_blocks` to come here with `ticket`, which is 0
/// before and after. What those blocks have written by then the last one may read, by __ldcg.
/// Called by all threads of a block, behind WaitForEarlierKernels.
__device__ __forceinline__ bool IsLastBlock(uint32_t* ticket, uint32_t num_blocks) {
  __threadfence();
  __syncthreads();
  bool is_last = false;
  if (threadIdx.x == 0) {
    is_last = atomicInc(ticket, num_blocks - 1) == num_blocks - 1;
  }
  is_last = __syncthreads_or(static_cast<int>(is_last)) != 0;
  __threadfence();
  return is_last;
}

}  // namespace hadal::cuda
