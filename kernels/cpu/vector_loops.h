#pragma once

// The inner loops, written once over a vector type. Each instruction set's file defines its own
// vector type in an anonymous namespace and instantiates these with it, compiled with its own
// flags: nothing here may be used from another file.
//
// Simd must have: Vec; kLanes; Zero, Set1, Load(const float*), Load(const bf16*), Load(const f16*),
// Load(const fp8_e4m3*), Store, Add, Sub, Mul, Div, MulAdd(a, b, c) = a * b + c, Sum(Vec), and what
// lane_loops.h needs.

#include <array>
#include <cstdint>

#include "kernels/cpu/attention/lane_loops.h"
#include "kernels/cpu/silu_loops.h"
#include "kernels/cpu/vector_kernels.h"
#include "kernels/cpu/widen_loops.h"

namespace hadal::cpu {

template <typename Simd>
struct VectorLoops {
  using Vec = typename Simd::Vec;

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

  // kVecs vectors of kRows rows of y, from column `begin` on, stay in registers while all rows of x
  // are added to them in order.
  template <int kRows, int kVecs>
  static void AxpyBlock(const std::array<const float*, kTile>& a,
                        const float* x,
                        int64_t x_stride,
                        int64_t num_x,
                        int64_t begin,
                        const std::array<float*, kTile>& y) {
    Vec sums[kRows][kVecs];  // NOLINT(*-avoid-c-arrays)
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVecs; ++v) {
        sums[r][v] = Simd::Load(y[r] + begin + v * Simd::kLanes);
      }
    }
    for (int64_t j = 0; j < num_x; ++j) {
      Vec row[kVecs];  // NOLINT(*-avoid-c-arrays)
      for (int v = 0; v < kVecs; ++v) {
        row[v] = Simd::Load(x + j * x_stride + begin + v * Simd::kLanes);
      }
      for (int r = 0; r < kRows; ++r) {
        const Vec factor = Simd::Set1(a[r][j]);
        for (int v = 0; v < kVecs; ++v) {
          sums[r][v] = Simd::MulAdd(factor, row[v], sums[r][v]);
        }
      }
    }
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVecs; ++v) {
        Simd::Store(y[r] + begin + v * Simd::kLanes, sums[r][v]);
      }
    }
  }

  template <int kRows>
  static void AxpyRows(const std::array<const float*, kTile>& a,
                       const float* x,
                       int64_t x_stride,
                       int64_t num_x,
                       int64_t n,
                       const std::array<float*, kTile>& y) {
    constexpr int kVecs = kRows == 1 ? 8 : 2;  // enough sums to hide the latency of MulAdd
    int64_t i = 0;
    for (; i + kVecs * Simd::kLanes <= n; i += kVecs * Simd::kLanes) {
      AxpyBlock<kRows, kVecs>(a, x, x_stride, num_x, i, y);
    }
    for (; i + Simd::kLanes <= n; i += Simd::kLanes) {
      AxpyBlock<kRows, 1>(a, x, x_stride, num_x, i, y);
    }
    for (; i < n; ++i) {
      for (int r = 0; r < kRows; ++r) {
        float sum = y[r][i];
        for (int64_t j = 0; j < num_x; ++j) {
          sum += a[r][j] * x[j * x_stride + i];
        }
        y[r][i] = sum;
      }
    }
  }

  static void AxpyTile(const std::array<const float*, kTile>& a,
                       int64_t num_y,
                       const float* x,
                       int64_t x_stride,
                       int64_t num_x,
                       int64_t n,
                       const std::array<float*, kTile>& y) {
    if (num_y == kTile) {
      AxpyRows<kTile>(a, x, x_stride, num_x, n, y);
      return;
    }
    for (int64_t r = 0; r < num_y; ++r) {
      const auto row = static_cast<size_t>(r);
      AxpyRows<1>({a[row]}, x, x_stride, num_x, n, {y[row]});
    }
  }

  static constexpr VectorKernels Kernels(const char* name,
                                         const PanelKernels& (*panels)(),
                                         const TileKernels& (*tiles)()) {
    return {.name = name,
            .widen_bf16 = &WidenLoops<Simd>::template Widen<bf16>,
            .widen_f16 = &WidenLoops<Simd>::template Widen<f16>,
            .widen_fp8 = &WidenLoops<Simd>::WidenFp8,
            .dot_tile = &DotTile,
            .axpy_tile = &AxpyTile,
            .silu_multiply = &SiluLoops<Simd>::Multiply,
            .panels = panels,
            .tiles = tiles,
            .lanes = &LaneLoops<Simd>::Kernels};
  }
};

}  // namespace hadal::cpu
