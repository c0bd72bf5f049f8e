#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <utility>

#include "base/dtype.h"

namespace hadal::cpu {

/// The vector type of vector_loops.h as a plain array, which the compiler vectorises with whatever
/// instruction set it may use: only for files compiled for the baseline.
template <int64_t kNumLanes, int kNumSums>
struct PortableSimd {
  static constexpr int64_t kLanes = kNumLanes;
  static constexpr int kSums = kNumSums;
  static constexpr int kTileRows = 2;
  using Vec = std::array<float, kLanes>;
  using Mask = std::array<bool, kLanes>;

  static Vec Zero() { return {}; }
  static Vec Set1(float value) {
    Vec v;
    v.fill(value);
    return v;
  }
  template <typename T>
  static Vec Load(const T* x) {
    Vec v;
    for (size_t i = 0; i < kLanes; ++i) {
      v[i] = ToFloat(x[i]);
    }
    return v;
  }
  static void Store(float* y, const Vec& v) {
    for (size_t i = 0; i < kLanes; ++i) {
      y[i] = v[i];
    }
  }
  static Vec Add(const Vec& a, const Vec& b) {
    Vec v;
    for (size_t i = 0; i < kLanes; ++i) {
      v[i] = a[i] + b[i];
    }
    return v;
  }
  static Vec Sub(const Vec& a, const Vec& b) {
    Vec v;
    for (size_t i = 0; i < kLanes; ++i) {
      v[i] = a[i] - b[i];
    }
    return v;
  }
  static Vec Mul(const Vec& a, const Vec& b) {
    Vec v;
    for (size_t i = 0; i < kLanes; ++i) {
      v[i] = a[i] * b[i];
    }
    return v;
  }
  static Vec Div(const Vec& a, const Vec& b) {
    Vec v;
    for (size_t i = 0; i < kLanes; ++i) {
      v[i] = a[i] / b[i];
    }
    return v;
  }
  static Vec MulAdd(const Vec& a, const Vec& b, const Vec& c) {
    Vec v;
    for (size_t i = 0; i < kLanes; ++i) {
      v[i] = a[i] * b[i] + c[i];
    }
    return v;
  }
  // Of halves, their halves, and so on.
  static float Sum(Vec v) {
    for (size_t count = kLanes / 2; count > 0; count /= 2) {
      for (size_t i = 0; i < count; ++i) {
        v[i] += v[i + count];
      }
    }
    return v[0];
  }
  static Vec Max(const Vec& a, const Vec& b) {
    Vec v;
    for (size_t i = 0; i < kLanes; ++i) {
      v[i] = a[i] > b[i] ? a[i] : b[i];
    }
    return v;
  }
  static Mask Less(const Vec& a, const Vec& b) {
    Mask mask;
    for (size_t i = 0; i < kLanes; ++i) {
      mask[i] = a[i] < b[i];
    }
    return mask;
  }
  static Vec Select(const Mask& mask, const Vec& a, const Vec& b) {
    Vec v;
    for (size_t i = 0; i < kLanes; ++i) {
      v[i] = mask[i] ? a[i] : b[i];
    }
    return v;
  }
  static Vec PowerOfTwo(const Vec& rounded) {
    Vec v;
    for (size_t i = 0; i < kLanes; ++i) {
      v[i] = std::bit_cast<float>((std::bit_cast<uint32_t>(rounded[i]) << 23U) +
                                  std::bit_cast<uint32_t>(1.0F));
    }
    return v;
  }
  static void Transpose(Vec* rows) {
    for (size_t i = 0; i < kLanes; ++i) {
      for (size_t j = 0; j < i; ++j) {
        std::swap(rows[i][j], rows[j][i]);
      }
    }
  }
};

}  // namespace hadal::cpu
