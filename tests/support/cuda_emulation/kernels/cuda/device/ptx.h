#pragma once

// What kernels/cuda/device/ptx.h declares, by its documentation, on emulator.h.

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/dtype.h"
#include "tests/support/cuda_emulation/emulator.h"
#include "tests/support/cuda_emulation/races.h"

namespace hadal::cuda {

inline std::byte* DynamicShared() {
  return emulation::DynamicShared();
}

inline void WaitForEarlierKernels() {
  emulation::WaitForEarlierKernels();
}

inline void LetNextKernelBegin() {}

inline void CopyAsync16(void* shared, const void* global, int num_bytes) {
  emulation::CopyAsync16(shared, global, num_bytes);
}

inline void CommitCopies() {
  emulation::CommitCopies();
}

template <int kPending>
void WaitForCopies() {
  emulation::WaitForCopies(kPending);
}

struct MatricesCall {
  uint16_t row[8];
  uint32_t (*out)[4];
  bool transposed;
};

HADAL_NO_RACES inline void JoinLoadMatrices(void* const* calls) {
  for (int matrix = 0; matrix < 4; ++matrix) {
    uint16_t elements[8][8];
    for (int r = 0; r < 8; ++r) {
      const auto* call = static_cast<const MatricesCall*>(calls[8 * matrix + r]);
      for (int c = 0; c < 8; ++c) {
        elements[r][c] = call->row[c];
      }
    }
    for (int lane = 0; lane < 32; ++lane) {
      const int r = lane / 4;
      const int c = lane % 4 * 2;
      const auto* call = static_cast<const MatricesCall*>(calls[lane]);
      const uint32_t low = call->transposed ? elements[c][r] : elements[r][c];
      const uint32_t high = call->transposed ? elements[c + 1][r] : elements[r][c + 1];
      (*call->out)[matrix] = low | high << 16U;
    }
  }
}

inline void LoadMatrices(uint32_t (&out)[4], const void* row, bool transposed) {
  MatricesCall call = {{}, &out, transposed};
  emulation::CheckAligned(row, sizeof(call.row));
  std::memcpy(call.row, row, sizeof(call.row));
  emulation::JoinWarp(~0U, &call, &JoinLoadMatrices);
}

inline void LoadMatrices(uint32_t (&out)[4], const void* row) {
  LoadMatrices(out, row, false);
}

inline void LoadMatricesTransposed(uint32_t (&out)[4], const void* row) {
  LoadMatrices(out, row, true);
}

struct MultiplyCall {
  float (*d)[4];
  const uint32_t (*a)[4];
  const uint32_t (*b)[2];
};

inline float Bf16Half(uint32_t pair, size_t half) {
  return std::bit_cast<float>(half == 0 ? pair << 16U : pair & 0xFFFF0000U);
}

// Sums of each element's products in rising order of the inner dimension, in float.
HADAL_NO_RACES inline void JoinMultiplyBf16(void* const* calls) {
  std::array<std::array<float, 16>, 16> a = {};
  std::array<std::array<float, 8>, 16> b = {};
  for (size_t lane = 0; lane < 32; ++lane) {
    const auto* call = static_cast<const MultiplyCall*>(calls[lane]);
    const size_t g = lane / 4;
    const size_t t = lane % 4 * 2;
    for (size_t half = 0; half < 2; ++half) {
      a[g][t + half] = Bf16Half((*call->a)[0], half);
      a[g + 8][t + half] = Bf16Half((*call->a)[1], half);
      a[g][t + 8 + half] = Bf16Half((*call->a)[2], half);
      a[g + 8][t + 8 + half] = Bf16Half((*call->a)[3], half);
      b[t + half][g] = Bf16Half((*call->b)[0], half);
      b[t + 8 + half][g] = Bf16Half((*call->b)[1], half);
    }
  }
  std::array<std::array<float, 8>, 16> sums = {};
  for (size_t row = 0; row < 16; ++row) {
    for (size_t k = 0; k < 16; ++k) {
      for (size_t col = 0; col < 8; ++col) {
        sums[row][col] += a[row][k] * b[k][col];
      }
    }
  }
  for (size_t lane = 0; lane < 32; ++lane) {
    float(&d)[4] = *static_cast<const MultiplyCall*>(calls[lane])->d;
    const size_t g = lane / 4;
    const size_t t = lane % 4 * 2;
    d[0] += sums[g][t];
    d[1] += sums[g][t + 1];
    d[2] += sums[g + 8][t];
    d[3] += sums[g + 8][t + 1];
  }
}

inline void MultiplyBf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  MultiplyCall call = {&d, &a, &b};
  emulation::JoinWarp(~0U, &call, &JoinMultiplyBf16);
}

inline uint32_t PackBf16(float low, float high) {
  return ToBf16(low).bits | static_cast<uint32_t>(ToBf16(high).bits) << 16U;
}

inline uint16_t PackFp8(float low, float high) {
  return static_cast<uint16_t>(ToFp8E4m3(low).bits | ToFp8E4m3(high).bits << 8U);
}

// Rounded to double on the way, which holds a product of bf16 numbers and a sum of like size.
inline uint32_t MultiplyAddBf16(uint32_t a, uint32_t b, uint32_t c) {
  const auto half = [&](size_t i) {
    return static_cast<float>(std::fma(double{Bf16Half(a, i)}, Bf16Half(b, i), Bf16Half(c, i)));
  };
  return PackBf16(half(0), half(1));
}

inline uint32_t WidenFp8(uint16_t pair) {
  const auto widen = [](int byte) {
    return uint32_t{ToF16(ToFloat(fp8_e4m3{static_cast<uint8_t>(byte)})).bits};
  };
  return widen(pair & 0xFF) | widen(pair >> 8) << 16U;
}

inline float WidenF16(uint16_t half) {
  return ToFloat(f16{half});
}

}  // namespace hadal::cuda
