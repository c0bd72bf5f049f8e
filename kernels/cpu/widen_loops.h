#pragma once

// Narrow numbers to float, written once over the vector types that vector_loops.h describes.

#include <cstdint>

#include "base/dtype.h"

namespace hadal::cpu {

template <typename Simd>
struct WidenLoops {
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
};

}  // namespace hadal::cpu
