#include <bit>
#include <utility>

#include "kernels/cpu/vector_loops.h"

namespace hadal::cpu {
namespace {

// Eight lanes in a plain array: what the compiler vectorises with the baseline instruction set.
struct PortableSimd {
  static constexpr int64_t kLanes = 8;
  static constexpr int kSums = 4;
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
  static float Sum(const Vec& v) {
    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
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

}  // namespace

const VectorKernels& PortableKernels() {
  static constexpr VectorKernels kKernels =
      VectorLoops<PortableSimd>::Kernels("cpu-portable", &PortablePanels, nullptr);
  return kKernels;
}

}  // namespace hadal::cpu
