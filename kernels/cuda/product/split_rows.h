#pragma once

#include <cuda_runtime.h>

#include "base/tensor_view.h"
#include "kernels/cuda/device/numeric.h"

namespace hadal::cuda {

class Scratch;

/// Float rows as sums of two bf16 numbers, high + low, which matrix instructions take: what is lost
/// is at most 2^-17 of an element (docs/adr/0024). Columns are filled up with zeros to `stride`.
struct SplitRows {
  bf16* high = nullptr;  // [num_rows, stride]
  bf16* low = nullptr;
  int64_t num_rows = 0;
  int64_t stride = 0;  // a multiple of kSplitAlignment
};

inline constexpr int64_t kSplitAlignment = 128;

/// Room for such rows; columns behind `cols` are not zero yet.
SplitRows AllocateSplitRows(int64_t num_rows, int64_t cols, Scratch& scratch);

/// Splits every row of x.
SplitRows Split(const TensorView<const float, 2>& x, Scratch& scratch);

/// Infinity and NaN stay what they are, with low = 0; a finite number has finite parts.
__device__ __forceinline__ void SplitFloat(float x, bf16& high, bf16& low) {
  const uint32_t magnitude = __float_as_uint(x) & 0x7FFFFFFFU;
  high = RoundToBf16(x);
  low = {0};
  if (magnitude < 0x7F800000U) {
    if ((high.bits & 0x7FFFU) == 0x7F80U) {
      --high.bits;
    }
    low = RoundToBf16(x - Widen(high));
  }
}

}  // namespace hadal::cuda
