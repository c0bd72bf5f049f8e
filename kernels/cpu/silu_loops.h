#pragma once

// silu(gate) * up, written once over the vector types that vector_loops.h describes.

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/cpu/attention/lane_softmax.h"

namespace hadal::cpu {

template <typename Simd>
struct SiluLoops {
  using Vec = typename Simd::Vec;

  // With e = exp(-|a|), which cannot overflow: silu(a) = a / (1 + e), or a e / (1 + e) below 0.
  static Vec Product(Vec gate, Vec up) {
    const auto is_negative = Simd::Less(gate, Simd::Zero());
    const Vec size = Simd::Select(is_negative, gate, Simd::Sub(Simd::Zero(), gate));
    const Vec e = LaneSoftmax<Simd>::Exp(size);
    const Vec numerator = Simd::Select(is_negative, Simd::Mul(gate, e), gate);
    return Simd::Mul(Simd::Div(numerator, Simd::Add(Simd::Set1(1), e)), up);
  }

  static void Multiply(const float* gate, const float* up, int64_t n, float* y) {
    int64_t i = 0;
    for (; i + Simd::kLanes <= n; i += Simd::kLanes) {
      Simd::Store(y + i, Product(Simd::Load(gate + i), Simd::Load(up + i)));
    }
    if (i < n) {
      std::array<float, Simd::kLanes> last_gate = {};
      std::array<float, Simd::kLanes> last_up = {};
      for (int64_t j = i; j < n; ++j) {
        last_gate[static_cast<size_t>(j - i)] = gate[j];
        last_up[static_cast<size_t>(j - i)] = up[j];
      }
      Simd::Store(last_gate.data(),
                  Product(Simd::Load(last_gate.data()), Simd::Load(last_up.data())));
      for (int64_t j = i; j < n; ++j) {
        y[j] = last_gate[static_cast<size_t>(j - i)];
      }
    }
  }
};

}  // namespace hadal::cpu
