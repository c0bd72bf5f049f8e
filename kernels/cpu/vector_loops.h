#pragma once

// The inner loops, written once over a vector type. Each instruction set's file defines its own
// vector type in an anonymous namespace and instantiates these with it, compiled with its own
// flags: nothing here may be used from another file.
//
// Simd must have: Vec; kLanes; Zero, Set1, Load(const float*), Load(const bf16*), Load(const f16*),
// Load(const fp8_e4m3*), Store, Add, Mul, MulAdd(a, b, c) = a * b + c, Sum(Vec).

#include <array>
#include <cstdint>

#include "kernels/cpu/vector_kernels.h"

namespace hadal::cpu {

template <typename Simd>
struct VectorLoops {
  using Vec = typename Simd::Vec;

  template <typename T>
  static void Widen(const T* x, int64_t n, float* y) {
    int64_t i = 0;
    for (; i + Simd::kLanes <= n; i += Simd::kLanes) {
      Simd::Store(y + i, Simd::Load(x + i));
    }
    for (; i < n; ++i) {
      y[i] = ToFloat(x[i]);
    }
  }

  static void WidenFp8(const fp8_e4m3* x, float scale, int64_t n, float* y) {
    const Vec scales = Simd::Set1(scale);
    int64_t i = 0;
    for (; i + Simd::kLanes <= n; i += Simd::kLanes) {
      Simd::Store(y + i, Simd::Mul(Simd::Load(x + i), scales));
    }
    for (; i < n; ++i) {
      y[i] = ToFloat(x[i]) * scale;
    }
  }

  static void Axpy(float a, const float* x, int64_t n, float* y) {
    const Vec factor = Simd::Set1(a);
    int64_t i = 0;
    for (; i + Simd::kLanes <= n; i += Simd::kLanes) {
      Simd::Store(y + i, Simd::MulAdd(factor, Simd::Load(x + i), Simd::Load(y + i)));
    }
    for (; i < n; ++i) {
      y[i] += a * x[i];
    }
  }

  // A tile of kRows x kCols dot products. Each has one accumulator over whole vectors, then the
  // tail in order.
  template <int kRows, int kCols>
  static void Tile(const std::array<const float*, kTile>& x,
                   const float* w,
                   int64_t w_stride,
                   int64_t n,
                   TileSums& sums) {
    // Plain arrays: std::array would drop the alignment that is part of a vector type.
    Vec accumulators[kRows][kCols];  // NOLINT(*-avoid-c-arrays)
    for (auto& row : accumulators) {
      for (Vec& accumulator : row) {
        accumulator = Simd::Zero();
      }
    }
    int64_t i = 0;
    for (; i + Simd::kLanes <= n; i += Simd::kLanes) {
      Vec weights[kCols];  // NOLINT(*-avoid-c-arrays)
      for (int c = 0; c < kCols; ++c) {
        weights[c] = Simd::Load(w + c * w_stride + i);
      }
      for (int r = 0; r < kRows; ++r) {
        const Vec input = Simd::Load(x[r] + i);
        for (int c = 0; c < kCols; ++c) {
          accumulators[r][c] = Simd::MulAdd(input, weights[c], accumulators[r][c]);
        }
      }
    }
    for (int r = 0; r < kRows; ++r) {
      for (int c = 0; c < kCols; ++c) {
        float sum = Simd::Sum(accumulators[r][c]);
        for (int64_t k = i; k < n; ++k) {
          sum += x[r][k] * w[c * w_stride + k];
        }
        sums[r][c] += sum;
      }
    }
  }

  // Splits any tile into the sizes that are compiled: full tiles, and single rows or columns.
  static void DotTile(const std::array<const float*, kTile>& x,
                      int64_t num_x,
                      const float* w,
                      int64_t w_stride,
                      int64_t num_w,
                      int64_t n,
                      TileSums& sums) {
    if (num_x == kTile && num_w == kTile) {
      Tile<kTile, kTile>(x, w, w_stride, n, sums);
      return;
    }
    for (int64_t r = 0; r < num_x; ++r) {
      TileSums row = {};
      if (num_w == kTile) {
        Tile<1, kTile>({x[r]}, w, w_stride, n, row);
      } else {
        for (int64_t c = 0; c < num_w; ++c) {
          TileSums one = {};
          Tile<1, 1>({x[r]}, w + c * w_stride, w_stride, n, one);
          row[0][c] = one[0][0];
        }
      }
      for (int64_t c = 0; c < num_w; ++c) {
        sums[r][c] += row[0][c];
      }
    }
  }

  static constexpr VectorKernels Kernels(const char* name) {
    return {.name = name,
            .widen_bf16 = &Widen<bf16>,
            .widen_f16 = &Widen<f16>,
            .widen_fp8 = &WidenFp8,
            .dot_tile = &DotTile,
            .axpy = &Axpy};
  }
};

}  // namespace hadal::cpu
