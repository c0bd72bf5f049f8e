#pragma once

// The part of CUDA C++ that Hadal's kernels use, on emulator.h.

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "tests/support/cuda_emulation/cuda_types.h"
#include "tests/support/cuda_emulation/emulator.h"
#include "tests/support/cuda_emulation/races.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__

using std::isfinite;
using std::isnan;
using std::max;
using std::min;

inline void __syncthreads() {
  hadal::emulation::SyncThreads();
}
HADAL_NO_RACES inline int __syncthreads_or(int predicate) {
  static thread_local bool any = false;  // of the one block that runs
  __syncthreads();
  any = false;
  __syncthreads();
  any = any || predicate != 0;
  __syncthreads();
  return any ? 1 : 0;
}
inline void __syncwarp(uint32_t mask = ~0U) {
  hadal::emulation::JoinWarp(mask, nullptr, nullptr);
}

namespace hadal::emulation {

struct ShuffleCall {
  uint64_t value;
  int source;
};

HADAL_NO_RACES inline void JoinShuffle(void* const* calls) {
  uint64_t values[32] = {};
  for (int lane = 0; lane < 32; ++lane) {
    if (calls[lane] != nullptr) {
      values[lane] = static_cast<const ShuffleCall*>(calls[lane])->value;
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    if (calls[lane] != nullptr) {
      auto* call = static_cast<ShuffleCall*>(calls[lane]);
      call->value = values[call->source];
    }
  }
}

template <typename T>
T Shuffle(uint32_t mask, T value, int source) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  ShuffleCall call = {0, source};
  std::memcpy(&call.value, &value, sizeof(T));
  JoinWarp(mask, &call, &JoinShuffle);
  std::memcpy(&value, &call.value, sizeof(T));
  return value;
}

struct BallotCall {
  bool predicate;
  uint32_t result;
};

HADAL_NO_RACES inline void JoinBallot(void* const* calls) {
  uint32_t result = 0;
  for (unsigned lane = 0; lane < 32; ++lane) {
    if (calls[lane] != nullptr && static_cast<const BallotCall*>(calls[lane])->predicate) {
      result |= 1U << lane;
    }
  }
  for (unsigned lane = 0; lane < 32; ++lane) {
    if (calls[lane] != nullptr) {
      static_cast<BallotCall*>(calls[lane])->result = result;
    }
  }
}

}  // namespace hadal::emulation

template <typename T>
T __shfl_xor_sync(uint32_t mask, T value, int lanes) {
  return hadal::emulation::Shuffle(mask, value, hadal::emulation::Lane() ^ lanes);
}
template <typename T>
T __shfl_sync(uint32_t mask, T value, int source) {
  return hadal::emulation::Shuffle(mask, value, source % 32);
}
template <typename T>
T __shfl_up_sync(uint32_t mask, T value, unsigned delta) {
  const int lane = hadal::emulation::Lane();
  const int source = lane - static_cast<int>(delta);
  return hadal::emulation::Shuffle(mask, value, source < 0 ? lane : source);
}
inline uint32_t __ballot_sync(uint32_t mask, int predicate) {
  hadal::emulation::BallotCall call = {predicate != 0, 0};
  hadal::emulation::JoinWarp(mask, &call, &hadal::emulation::JoinBallot);
  return call.result;
}

template <typename T>
T atomicAdd(T* address, T value) {
  return std::atomic_ref(*address).fetch_add(value, std::memory_order_relaxed);
}
// Stands for the fences around it too (device/last_block.h), which ThreadSanitizer does not know.
inline uint32_t atomicInc(uint32_t* address, uint32_t highest) {
  const std::atomic_ref value(*address);
  uint32_t before = value.load();
  while (!value.compare_exchange_weak(before, before >= highest ? 0 : before + 1)) {
  }
  return before;
}
template <typename T>
T __ldg(const T* address) {
  return *address;
}
template <typename T>
T __ldcg(const T* address) {
  return *address;
}
inline void __threadfence() {}
inline int __popc(uint32_t bits) {
  return std::popcount(bits);
}
inline int __ffs(uint32_t bits) {
  return bits == 0 ? 0 : std::countr_zero(bits) + 1;
}
inline float __expf(float x) {
  return std::exp(x);
}

// Byte i is that of y:x, eight bytes, which digit i of the selector names.
inline uint32_t __byte_perm(uint32_t x, uint32_t y, uint32_t selector) {
  uint32_t result = 0;
  for (uint32_t i = 0; i < 32; i += 8, selector >>= 4U) {
    const uint64_t bytes = (uint64_t{y} << 32U | x) >> (selector % 8 * 8);
    result |= static_cast<uint32_t>(bytes & 0xFFU) << i;
  }
  return result;
}

inline float __uint_as_float(uint32_t bits) {
  return std::bit_cast<float>(bits);
}
inline uint32_t __float_as_uint(float value) {
  return std::bit_cast<uint32_t>(value);
}
inline double __longlong_as_double(long long bits) {
  return std::bit_cast<double>(bits);
}
inline long long __double_as_longlong(double value) {
  return std::bit_cast<long long>(value);
}

// Operations that are fused with no other: sources on the emulator are compiled without
// contraction.
inline float __fadd_rn(float a, float b) {
  return a + b;
}
inline float __fmul_rn(float a, float b) {
  return a * b;
}
inline double __dadd_rn(double a, double b) {
  return a + b;
}
inline double __dmul_rn(double a, double b) {
  return a * b;
}
inline double __ddiv_rn(double a, double b) {
  return a / b;
}
