#pragma once

// The rows of A that a block of attention/head_products.cu multiplies, in shared memory as they are
// stored, in swizzled lines of 128 bytes, and how they become operands of matrix instructions.
// Memory holds A [rows, inner] in rows of kv_b_proj, or Aᵀ.

#include <cstddef>
#include <cstdint>
#include <cuda_runtime.h>
#include <type_traits>

#include "base/dtype.h"
#include "kernels/cuda/attention/swizzle.h"
#include "kernels/cuda/attention/widen.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/warp.h"

namespace hadal::cuda {

inline constexpr int kHeadRows = 64;  // of A in a block, 16 in a warp
inline constexpr int kHeadThreads = kHeadRows / 16 * kWarpSize;
inline constexpr int kHeadStep = 32;  // inner columns that are loaded at once

template <typename Weight, bool kTransposed>
struct HeadTile {
  static constexpr bool kIsFp8 = std::is_same_v<Weight, fp8_e4m3>;
  static constexpr int kLineBytes = 128;
  static constexpr int kLineWeights = kLineBytes / static_cast<int>(sizeof(Weight));

  std::byte* shared;

  /// A's lines: one for each row and kLineWeights columns; Aᵀ's: one for each row or, in fp8, two.
  static constexpr int Bytes(int inner) {
    const int num_lines = kTransposed ? inner * kHeadRows / kLineWeights
                                      : (inner + kLineWeights - 1) / kLineWeights * kHeadRows;
    return num_lines * kLineBytes;
  }

  /// Fragments hold inner columns of 16 in an order of their own, in which the input has to come:
  /// slots i and i + 1, with i even, are for columns InnerOf(i) and kPairDistance more.
  static constexpr int kPairDistance = kIsFp8 && !kTransposed ? 2 : 1;
  __device__ static int InnerOf(int slot) {
    return kIsFp8 && !kTransposed ? slot / 16 * 16 + slot % 8 * 2 + slot / 8 % 2 : slot;
  }

  /// The row of the block that a lane's sums 0 and 1 (`half` 0) or 2 and 3 are of.
  __device__ static int RowOf(int half) {
    const int row = kIsFp8 && kTransposed ? Lane() / 4 * 2 + half : Lane() / 4 + half * 8;
    return Warp() * 16 + row;
  }

  /// Begins to copy the rows from `a` on, whose rows in memory lie `stride` apart.
  __device__ void Copy(const Weight* a, int64_t stride, int inner) const {
    constexpr int kChunkWeights = 16 / static_cast<int>(sizeof(Weight));
    for (int i = static_cast<int>(threadIdx.x); i < Bytes(inner) / 16; i += kHeadThreads) {
      constexpr int kRowChunks = kTransposed ? kHeadRows / kChunkWeights : 8;
      const int row = kTransposed ? i / kRowChunks : i / 8 % kHeadRows;
      const int chunk = kTransposed ? i % kRowChunks : i / (8 * kHeadRows) * 8 + i % 8;
      if (kTransposed || chunk * kChunkWeights < inner) {
        CopyAsync16(Chunk(i / 8, i % 8), a + row * stride + chunk * kChunkWeights, 16);
      }
    }
  }

  /// Of a warp's 16 rows, columns [k, k + kHeadStep). In the result bit 7 of a byte is set for each
  /// fp8 weight that is NaN, for which fragments have 480.
  __device__ uint32_t Load(int k, uint32_t (&fragments)[2][4]) const {
    const int low8 = Lane() % 8;
    const int bit0 = Lane() / 8 % 2;
    const int bit1 = Lane() / 16;
    if constexpr (kIsFp8) {
      // A matrix of pairs of weights: along A's rows a pair is two columns of a row, and bytes 0
      // and 2 of a register go together as two columns; with Aᵀ it is two rows in a column, and
      // those bytes are two columns of the first one.
      uint32_t fours[4];
      if constexpr (kTransposed) {
        const int column = k + Lane();
        LoadMatricesTransposed(fours, Chunk(column / 2, column % 2 * 4 + Warp()));
      } else {
        const int line = k / kLineWeights * kHeadRows + Warp() * 16 + bit0 * 8 + low8;
        LoadMatrices(fours, Chunk(line, k % kLineWeights / 16 + bit1));
      }
      uint32_t nan_bits = 0;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int even = kTransposed ? i % 2 * 2 : i % 2;
        const int odd = kTransposed ? even + 1 : even + 2;
        fragments[i / 2][even] = WidenOddFp8ToBf16(fours[i] << 8U);
        fragments[i / 2][odd] = WidenOddFp8ToBf16(fours[i]);
        nan_bits |= (fours[i] & 0x7F7F7F7FU) + 0x01010101U;
      }
      return nan_bits & 0x80808080U;
    } else {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int begin = k + half * 16;
        if constexpr (kTransposed) {
          LoadMatricesTransposed(fragments[half],
                                 Chunk(begin + bit1 * 8 + low8, Warp() * 2 + bit0));
        } else {
          const int line = begin / kLineWeights * kHeadRows + Warp() * 16 + bit0 * 8 + low8;
          LoadMatrices(fragments[half], Chunk(line, begin % kLineWeights / 8 + bit1));
        }
      }
      return 0;
    }
  }

 private:
  __device__ static int Lane() {
    return static_cast<int>(threadIdx.x) % kWarpSize;
  }
  __device__ static int Warp() {
    return static_cast<int>(threadIdx.x) / kWarpSize;
  }

  __device__ std::byte* Chunk(int line, int chunk) const {
    return SwizzledChunk(shared, kLineBytes, line, chunk);
  }
};

}  // namespace hadal::cuda
