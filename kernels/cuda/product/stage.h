#pragma once

// How weights and inputs of a block's product come through shared memory: in stages of 128 bytes of
// each weight row, and as many columns of the inputs.

#include <cstddef>
#include <cstdint>
#include <cuda_runtime.h>
#include <type_traits>

#include "base/dtype.h"
#include "kernels/cuda/device/numeric.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/warp.h"

namespace hadal::cuda {

inline constexpr int kProductWarps = 4;
inline constexpr int kProductThreads = kProductWarps * kWarpSize;
inline constexpr int kWarpRows = 16;
inline constexpr int kBlockRows = kProductWarps * kWarpRows;
inline constexpr int kStages = 4;      // of the ring in shared memory
inline constexpr int kRowBytes = 128;  // of a weight row in a stage

/// A weight as the loop reads it; scales are null but for fp8.
struct TileWeight {
  const std::byte* payload;
  const float* scales;
  int64_t rows;
  int64_t cols;
  int64_t row_bytes;
  int64_t block_rows;
  int64_t scales_per_row;
};

/// The part of a product that a block does.
struct TileTask {
  int64_t first_row;      // of the weight
  const int32_t* inputs;  // rows of the split inputs, kTokens of them; null: from first_input on
  int64_t first_input;
  int64_t num_inputs;  // of kTokens
  const bf16* high;    // [., x_stride]
  const bf16* low;
  int64_t x_stride;
  int64_t first_step;
  int64_t num_steps;
};

// Where a 16-byte chunk of a row lies, so that the lanes of a warp meet in no bank: those that read
// 8 bytes each touch 4 rows at a time, those that read 4 bytes 8 rows.
__device__ __forceinline__ int SwizzlePairs(int row, int chunk) {
  return chunk ^ (row & 3) << 1;
}
__device__ __forceinline__ int SwizzleChunks(int row, int chunk) {
  return chunk ^ (row & 7);
}

/// One stage of the ring for kMatrices weights.
template <typename Weight, int kTokens, int kMatrices>
struct Stage {
  static constexpr bool kIsFp8 = std::is_same_v<Weight, fp8_e4m3>;
  static constexpr int kCols = kRowBytes / static_cast<int>(sizeof(Weight));
  static constexpr int kInputBytes = kCols * 2;
  static constexpr int kWeightBytes = kMatrices * kBlockRows * kRowBytes;
  static constexpr int kBytes = kWeightBytes + 2 * kTokens * kInputBytes;

  __device__ static void CopyWeights(std::byte* stage,
                                     const TileWeight (&weights)[kMatrices],
                                     const TileTask& task,
                                     int64_t step);
  __device__ static void CopyInputs(std::byte* stage, const TileTask& task, int64_t step);
  /// What one lane needs of a weight for 16 columns, columns 4t to 4t + 3 of rows g and g + 8.
  __device__ static void LoadWeights(const std::byte* stage, int matrix, int k, uint32_t (&a)[4]);
  /// Of inputs 8n + g, columns 4t to 4t + 3; `part` 0: high, 1: low.
  __device__ static void LoadInputs(
      const std::byte* stage, int part, int n, int k, uint32_t (&b)[2]);
};

template <typename Weight, int kTokens, int kMatrices>
__device__ __forceinline__ void Stage<Weight, kTokens, kMatrices>::CopyWeights(
    std::byte* stage, const TileWeight (&weights)[kMatrices], const TileTask& task, int64_t step) {
  constexpr int kChunks = kRowBytes / 16;
#pragma unroll
  for (int matrix = 0; matrix < kMatrices; ++matrix) {
    const TileWeight& weight = weights[matrix];
    for (int i = static_cast<int>(threadIdx.x); i < kBlockRows * kChunks; i += kProductThreads) {
      const int row = i / kChunks;
      const int chunk = i % kChunks;
      const int64_t from_row = task.first_row + row;
      const int64_t byte = step * kRowBytes + chunk * 16;
      const bool exists = from_row < weight.rows && byte < weight.row_bytes;
      const std::byte* from = weight.payload + (exists ? from_row * weight.row_bytes + byte : 0);
      const int at = kIsFp8 ? SwizzleChunks(row, chunk) : SwizzlePairs(row, chunk);
      CopyAsync16(stage + (matrix * kBlockRows + row) * kRowBytes + at * 16, from, exists ? 16 : 0);
    }
  }
}

template <typename Weight, int kTokens, int kMatrices>
__device__ __forceinline__ void Stage<Weight, kTokens, kMatrices>::CopyInputs(std::byte* stage,
                                                                              const TileTask& task,
                                                                              int64_t step) {
  constexpr int kInputChunks = kInputBytes / 16;
  for (int i = static_cast<int>(threadIdx.x); i < 2 * kTokens * kInputChunks;
       i += kProductThreads) {
    const int part = i / (kTokens * kInputChunks);
    const int token = i / kInputChunks % kTokens;
    const int chunk = i % kInputChunks;
    const bool exists = token < task.num_inputs;
    int64_t input = 0;
    if (exists) {
      input = task.inputs != nullptr ? task.inputs[token] : task.first_input + token;
    }
    const bf16* from =
        (part == 0 ? task.high : task.low) + input * task.x_stride + step * kCols + chunk * 8;
    CopyAsync16(stage + kWeightBytes + (part * kTokens + token) * kInputBytes +
                    SwizzlePairs(token, chunk) * 16,
                from,
                exists ? 16 : 0);
  }
}

/// Four e4m3 numbers as bf16, exactly.
__device__ __forceinline__ void WidenFour(uint32_t four, uint32_t& first, uint32_t& second) {
  const uint32_t low = WidenFp8(static_cast<uint16_t>(four & 0xFFFFU));
  const uint32_t high = WidenFp8(static_cast<uint16_t>(four >> 16U));
  first = PackBf16(WidenF16(static_cast<uint16_t>(low & 0xFFFFU)),
                   WidenF16(static_cast<uint16_t>(low >> 16U)));
  second = PackBf16(WidenF16(static_cast<uint16_t>(high & 0xFFFFU)),
                    WidenF16(static_cast<uint16_t>(high >> 16U)));
}

template <typename Weight, int kTokens, int kMatrices>
__device__ __forceinline__ void Stage<Weight, kTokens, kMatrices>::LoadWeights(
    const std::byte* stage, int matrix, int k, uint32_t (&a)[4]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int t = lane % 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = warp * kWarpRows + lane / 4 + half * 8;
    const std::byte* bytes = stage + (matrix * kBlockRows + row) * kRowBytes;
    if constexpr (kIsFp8) {
      const auto* four =
          reinterpret_cast<const uint32_t*>(bytes + SwizzleChunks(row, k) * 16 + t * 4);
      WidenFour(*four, a[half], a[half + 2]);
    } else {
      const uint2 four = *reinterpret_cast<const uint2*>(
          bytes + SwizzlePairs(row, k * 2 + t / 2) * 16 + t % 2 * 8);
      a[half] = four.x;
      a[half + 2] = four.y;
    }
  }
}

template <typename Weight, int kTokens, int kMatrices>
__device__ __forceinline__ void Stage<Weight, kTokens, kMatrices>::LoadInputs(
    const std::byte* stage, int part, int n, int k, uint32_t (&b)[2]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int t = lane % 4;
  const int token = n * 8 + lane / 4;
  const uint2 four = *reinterpret_cast<const uint2*>(
      stage + kWeightBytes + (part * kTokens + token) * kInputBytes +
      SwizzlePairs(token, k * 2 + t / 2) * 16 + t % 2 * 8);
  b[0] = four.x;
  b[1] = four.y;
}

}  // namespace hadal::cuda
