#pragma once

#include <cuda_runtime.h>

#include "base/tensor_view.h"
#include "kernels/cuda/device/numeric.h"

namespace hadal::cuda {

class Scratch;

/// Float rows, which matrix instructions take as sums of two bf16 numbers, high + low: what is lost
/// is at most 2^-17 of an element (docs/adr/0024). Few rows are split by each block that loads them
/// (plan.h says which), more of them once for all blocks.
struct InputRows {
  float* floats = nullptr;  // [num_rows, stride], aligned to 16 bytes; null: split
  bf16* high = nullptr;     // [num_rows, stride], zeros behind the last column
  bf16* low = nullptr;
  int64_t num_rows = 0;
  int64_t stride = 0;
};

/// Room for rows of products with tiles of `tile_tokens`.
InputRows AllocateInputRows(int64_t num_rows, int64_t cols, int64_t tile_tokens, Scratch& scratch);

/// The rows of x for products with tiles of `tile_tokens`, which only read them. x itself, where it
/// can be loaded as it is.
InputRows MakeInputRows(const TensorView<const float, 2>& x, int64_t tile_tokens, Scratch& scratch);

/// Splits two numbers, the first into the low halves. Infinity and NaN stay what they are, with low
/// parts of 0; what bf16 would round to infinity becomes infinity.
__device__ __forceinline__ void SplitFloats(float first,
                                            float second,
                                            uint32_t& high,
                                            uint32_t& low) {
  high = PackBf16(first, second);
  const auto rest = [](float x, uint32_t rounded) {
    return (rounded & 0x7F800000U) == 0x7F800000U ? 0.0F : x - __uint_as_float(rounded);
  };
  low = PackBf16(rest(first, high << 16U), rest(second, high & 0xFFFF0000U));
}

/// The same of one number.
__device__ __forceinline__ void SplitFloat(float x, bf16& high, bf16& low) {
  uint32_t highs;
  uint32_t lows;
  SplitFloats(x, 0, highs, lows);
  high = {static_cast<uint16_t>(highs & 0xFFFFU)};
  low = {static_cast<uint16_t>(lows & 0xFFFFU)};
}

}  // namespace hadal::cuda
