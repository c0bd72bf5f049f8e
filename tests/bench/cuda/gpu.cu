#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"
#include "tests/bench/cuda/gpu_kernels.h"

namespace hadal::bench {
namespace {

constexpr int kThreads = 256;

// A well-mixed word for each index (Steele et al. 2014, SplitMix64).
__device__ __forceinline__ uint64_t Mix(uint64_t index) {
  uint64_t z = index + 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31U);
}

__device__ __forceinline__ float UniformAt(int64_t index) {
  return static_cast<float>(Mix(static_cast<uint64_t>(index)) >> 40U) * 0x1p-23F - 1.0F;
}

__global__ void __launch_bounds__(kThreads) FillFloats(float* out, int64_t count, float scale) {
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count;
       i += int64_t{gridDim.x} * kThreads) {
    out[i] = UniformAt(i) * scale;
  }
}

__global__ void __launch_bounds__(kThreads) FillBf16(uint16_t* out, int64_t count, float scale) {
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count;
       i += int64_t{gridDim.x} * kThreads) {
    out[i] = static_cast<uint16_t>(cuda::PackBf16(UniformAt(i) * scale, 0) & 0xFFFFU);
  }
}

// Any e4m3 number but NaN.
__global__ void __launch_bounds__(kThreads) FillFp8(uint8_t* out, int64_t count) {
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count;
       i += int64_t{gridDim.x} * kThreads) {
    const auto bits = static_cast<uint8_t>(Mix(static_cast<uint64_t>(i)) >> 56U);
    out[i] = (bits & 0x7FU) == 0x7FU ? uint8_t{0x70} : bits;
  }
}

// Reads everything once, with eight 16-byte loads of a thread under way; writes what nobody reads.
__global__ void __launch_bounds__(kThreads)
    ReadAll(const uint4* data, int64_t count, uint32_t* out) {
  constexpr int kLoads = 8;
  uint32_t mixed = 0;
  const int64_t stride = int64_t{gridDim.x} * kThreads;
  int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  for (; i + (kLoads - 1) * stride < count; i += kLoads * stride) {
    uint4 loaded[kLoads];
#pragma unroll
    for (int k = 0; k < kLoads; ++k) {
      loaded[k] = data[i + k * stride];
    }
#pragma unroll
    for (int k = 0; k < kLoads; ++k) {
      mixed ^= loaded[k].x ^ loaded[k].y ^ loaded[k].z ^ loaded[k].w;
    }
  }
  if (mixed == 0x12345678U) {
    out[threadIdx.x] = mixed;
  }
}

__global__ void __launch_bounds__(kThreads) CopyAll(const uint4* from, uint4* to, int64_t count) {
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count;
       i += int64_t{gridDim.x} * kThreads) {
    to[i] = from[i];
  }
}

// Independent chains of matrix instructions; the operands are random, the sums stay finite.
__global__ void __launch_bounds__(kThreads) MultiplyOften(int iterations, float* out) {
  constexpr int kChains = 8;
  float sums[kChains][4] = {};
  uint32_t a[4];
  uint32_t b[2];
  for (int i = 0; i < 4; ++i) {
    a[i] = cuda::PackBf16(UniformAt(threadIdx.x * 8 + i), UniformAt(threadIdx.x * 8 + i + 64));
  }
  for (int i = 0; i < 2; ++i) {
    b[i] = cuda::PackBf16(UniformAt(threadIdx.x * 8 + i + 7), UniformAt(threadIdx.x * 8 + i + 77));
  }
  for (int k = 0; k < iterations; ++k) {
#pragma unroll
    for (int chain = 0; chain < kChains; ++chain) {
      cuda::MultiplyBf16(sums[chain], a, b);
    }
  }
  float sum = 0;
#pragma unroll
  for (int chain = 0; chain < kChains; ++chain) {
    sum += sums[chain][0] + sums[chain][1] + sums[chain][2] + sums[chain][3];
  }
  if (sum == 12345.0F) {
    out[threadIdx.x] = sum;
  }
}

__global__ void DoNothing() {}

constexpr unsigned kBlocks = 132 * 8;

}  // namespace

void LaunchFillFloats(float* out, int64_t count, float scale) {
  cuda::Launch("fill", FillFloats, {.grid = kBlocks, .threads = kThreads}, out, count, scale);
}

void LaunchFillBf16(void* out, int64_t count, float scale) {
  cuda::Launch("fill",
               FillBf16,
               {.grid = kBlocks, .threads = kThreads},
               static_cast<uint16_t*>(out),
               count,
               scale);
}

void LaunchFillFp8(void* out, int64_t count) {
  cuda::Launch(
      "fill", FillFp8, {.grid = kBlocks, .threads = kThreads}, static_cast<uint8_t*>(out), count);
}

void LaunchRead(const void* data, int64_t size_bytes, void* out) {
  cuda::Launch("read",
               ReadAll,
               {.grid = kBlocks, .threads = kThreads},
               static_cast<const uint4*>(data),
               size_bytes / 16,
               static_cast<uint32_t*>(out));
}

void LaunchCopy(const void* from, void* to, int64_t size_bytes) {
  cuda::Launch("copy",
               CopyAll,
               {.grid = kBlocks, .threads = kThreads},
               static_cast<const uint4*>(from),
               static_cast<uint4*>(to),
               size_bytes / 16);
}

double LaunchMultiply(int iterations, void* out) {
  constexpr unsigned kBlocksOfMultiply = 132 * 2;
  cuda::Launch("multiply",
               MultiplyOften,
               {.grid = kBlocksOfMultiply, .threads = kThreads},
               iterations,
               static_cast<float*>(out));
  const double warps = kBlocksOfMultiply * kThreads / 32.0;
  return warps * iterations * 8 * (2.0 * 16 * 8 * 16);
}

void LaunchNothing() {
  cuda::Launch("nothing", DoNothing, {.grid = 1, .threads = 32});
}

}  // namespace hadal::bench
