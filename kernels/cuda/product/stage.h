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
#include "kernels/cuda/product/input_rows.h"
#include "kernels/cuda/product/plan.h"

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
  int64_t row_bytes;  // from one row to the next
  int64_t block_rows;
  int64_t scales_per_row;
};

/// The part of a product that a block does.
struct TileTask {
  int64_t first_row;  // of the weight
  InputRows x;
  const int32_t* pairs;  // [num_inputs] in shared memory; null: from first_input on
  int32_t pairs_per_input;
  int64_t first_input;
  int64_t num_inputs;  // of kTokens
  int64_t first_step;
  int64_t num_steps;

  /// Row `token` of the output, and of x.
  __device__ __forceinline__ int64_t OutputRow(int token) const {
    return pairs != nullptr ? pairs[token] : first_input + token;
  }
  __device__ __forceinline__ int64_t InputRow(int token) const {
    return pairs != nullptr ? pairs[token] / pairs_per_input : first_input + token;
  }
};

// Where a 16-byte chunk of a row lies, so that the lanes of a warp meet in no bank: those that read
// 16 bytes each touch 2 rows at a time, those that read 8 bytes 4 rows, 4 bytes 8 rows.
__device__ __forceinline__ int SwizzleFours(int row, int chunk) {
  return chunk ^ (row & 1) << 2;
}
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
  static constexpr bool kHasFloats = SplitsWhenLoaded(kTokens);
  static constexpr int kInputBytes = kCols * (kHasFloats ? 4 : 2);
  static constexpr int kInputRows = (kHasFloats ? 1 : 2) * kTokens;  // floats; high, then low parts
  static constexpr int kWeightBytes = kMatrices * kBlockRows * kRowBytes;
  static constexpr int kBytes = kWeightBytes + kInputRows * kInputBytes;

  __device__ static void CopyWeights(std::byte* stage,
                                     const TileWeight (&weights)[kMatrices],
                                     const TileTask& task,
                                     int64_t step);
  __device__ static void CopyInputs(std::byte* stage,
                                    const TileTask& task,
                                    int64_t num_cols,
                                    int64_t step);
  /// What one lane needs of a weight for 16 columns, columns 4t to 4t + 3 of rows g and g + 8.
  __device__ static void LoadWeights(const std::byte* stage, int matrix, int k, uint32_t (&a)[4]);
  /// Of inputs 8n + g, columns 4t to 4t + 3, in two parts.
  __device__ static void LoadInputs(
      const std::byte* stage, int n, int k, uint32_t (&high)[2], uint32_t (&low)[2]);
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
      const bool exists =
          from_row < weight.rows && byte < weight.cols * static_cast<int64_t>(sizeof(Weight));
      const std::byte* from = weight.payload + (exists ? from_row * weight.row_bytes + byte : 0);
      const int at = kIsFp8 ? SwizzleChunks(row, chunk) : SwizzlePairs(row, chunk);
      CopyAsync16(stage + (matrix * kBlockRows + row) * kRowBytes + at * 16, from, exists ? 16 : 0);
    }
  }
}

template <typename Weight, int kTokens, int kMatrices>
__device__ __forceinline__ void Stage<Weight, kTokens, kMatrices>::CopyInputs(std::byte* stage,
                                                                              const TileTask& task,
                                                                              int64_t num_cols,
                                                                              int64_t step) {
  constexpr int kChunks = kInputBytes / 16;
  for (int i = static_cast<int>(threadIdx.x); i < kInputRows * kChunks; i += kProductThreads) {
    const int row = i / kChunks;
    const int chunk = i % kChunks;
    const int token = row % kTokens;
    bool exists = token < task.num_inputs;
    const int64_t at = (exists ? task.InputRow(token) * task.x.stride : 0) + step * kCols;
    const void* from;
    int place;
    if constexpr (kHasFloats) {
      exists = exists && step * kCols + chunk * 4 < num_cols;
      from = task.x.floats + at + chunk * 4;
      place = SwizzleFours(token, chunk);
    } else {
      from = (row < kTokens ? task.x.high : task.x.low) + at + chunk * 8;
      place = SwizzlePairs(token, chunk);
    }
    CopyAsync16(stage + kWeightBytes + row * kInputBytes + place * 16, from, exists ? 16 : 0);
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
    const std::byte* stage, int n, int k, uint32_t (&high)[2], uint32_t (&low)[2]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int t = lane % 4;
  const int token = n * 8 + lane / 4;
  const std::byte* row = stage + kWeightBytes + token * kInputBytes;
  if constexpr (kHasFloats) {
    const float4 four = *reinterpret_cast<const float4*>(row + SwizzleFours(token, k * 4 + t) * 16);
    SplitFloats(four.x, four.y, high[0], low[0]);
    SplitFloats(four.z, four.w, high[1], low[1]);
  } else {
    const std::byte* four = row + SwizzlePairs(token, k * 2 + t / 2) * 16 + t % 2 * 8;
    const uint2 first = *reinterpret_cast<const uint2*>(four);
    const uint2 second = *reinterpret_cast<const uint2*>(four + kTokens * kInputBytes);
    high[0] = first.x;
    high[1] = first.y;
    low[0] = second.x;
    low[1] = second.y;
  }
}

}  // namespace hadal::cuda
