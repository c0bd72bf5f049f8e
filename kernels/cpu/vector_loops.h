#pragma once

// The inner loops, written once over a vector type. Each instruction set's file defines its own
// vector type in an anonymous namespace and instantiates these with it, compiled with its own
// flags: nothing here may be used from another file.
//
// Simd must have: Vec; kLanes; kTileRows, so that registers hold kTileRows x kTile sums; Zero,
// Set1, Load(const float*), Load(const bf16*), Load(const f16*), Load(const fp8_e4m3*), Store, Add,
// Sub, Mul, Div, MulAdd(a, b, c) = a * b + c, Sum(Vec), and what lane_loops.h needs.

#include <algorithm>
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

  // The first `count` elements, fewer than a vector's, and zeros.
  template <typename T>
  static Vec LoadPart(const T* from, int64_t count) {
    std::array<T, Simd::kLanes> part = {};
    std::copy_n(from, count, part.begin());
    return Simd::Load(part.data());
  }

  // A tile of kRows x kCols dot products, each with a vector of sums, which the last elements join
  // beside zeros: compilers fuse additions with multiplications as they like, but not in MulAdd.
  template <int kRows, int kCols, typename Weight>
  static void Tile(const float* const* x,
                   const Weight* w,
                   int64_t w_stride,
                   int64_t n,
                   std::array<float, kTile>* sums) {
    // Plain arrays: std::array would drop the alignment that is part of a vector type.
    Vec accumulators[kRows][kCols];  // NOLINT(*-avoid-c-arrays)
    for (auto& row : accumulators) {
      for (Vec& accumulator : row) {
        accumulator = Simd::Zero();
      }
    }
    const auto add = [&](int64_t i, const auto& load) {
      Vec weights[kCols];  // NOLINT(*-avoid-c-arrays)
      for (int c = 0; c < kCols; ++c) {
        weights[c] = load(w + c * w_stride + i);
      }
      for (int r = 0; r < kRows; ++r) {
        const Vec input = load(x[r] + i);
        for (int c = 0; c < kCols; ++c) {
          accumulators[r][c] = Simd::MulAdd(input, weights[c], accumulators[r][c]);
        }
      }
    };
    int64_t i = 0;
    for (; i + Simd::kLanes <= n; i += Simd::kLanes) {
      add(i, [](const auto* from) { return Simd::Load(from); });
    }
    if (i < n) {
      add(i, [count = n - i](const auto* from) { return LoadPart(from, count); });
    }
    for (int r = 0; r < kRows; ++r) {
      for (int c = 0; c < kCols; ++c) {
        sums[r][static_cast<size_t>(c)] += Simd::Sum(accumulators[r][c]);
      }
    }
  }

  // Splits any tile into the sizes that are compiled: as many rows as registers hold the sums of,
  // single rows, and single columns.
  template <typename Weight>
  static void DotTile(const std::array<const float*, kTile>& x,
                      int64_t num_x,
                      const Weight* w,
                      int64_t w_stride,
                      int64_t num_w,
                      int64_t n,
                      TileSums& sums) {
    if (num_w == kTile) {
      int64_t r = 0;
      for (; r + Simd::kTileRows <= num_x; r += Simd::kTileRows) {
        Tile<Simd::kTileRows, kTile>(x.data() + r, w, w_stride, n, sums.data() + r);
      }
      for (; r < num_x; ++r) {
        Tile<1, kTile>(x.data() + r, w, w_stride, n, sums.data() + r);
      }
      return;
    }
    for (int64_t r = 0; r < num_x; ++r) {
      for (int64_t c = 0; c < num_w; ++c) {
        std::array<float, kTile> one = {sums[r][c]};
        Tile<1, 1>(x.data() + r, w + c * w_stride, w_stride, n, &one);
        sums[r][c] = one[0];
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
            .dot_tile = &DotTile<float>,
            .dot_tile_bf16 = &DotTile<bf16>,
            .axpy_tile = &AxpyTile,
            .silu_multiply = &SiluLoops<Simd>::Multiply,
            .panels = panels,
            .tiles = tiles,
            .lanes = &LaneLoops<Simd>::Kernels};
  }
};

}  // namespace hadal::cpu
