#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/warp.h"
#include "kernels/cuda/round_rows.h"
#include "kernels/quantization/panels.h"

namespace hadal::cuda {
namespace {

constexpr int kThreads = 128;

// A block for each row and group.
__global__ void __launch_bounds__(kThreads)
    RoundRows(const float* x, int64_t x_stride, int64_t cols, float* rounded, int64_t stride) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  static_assert(kThreads == kGroupCols);
  auto* shared = reinterpret_cast<float*>(DynamicShared());
  const int64_t col = int64_t{blockIdx.y} * kGroupCols + threadIdx.x;
  const float value = col < cols ? x[blockIdx.x * x_stride + col] : 0.0F;
  // The bits of magnitudes are ordered as they are, NaN above infinity above all numbers.
  uint32_t highest = __float_as_uint(value) & 0x7FFFFFFFU;
  for (int lanes = kWarpSize / 2; lanes > 0; lanes /= 2) {
    const uint32_t other = __shfl_xor_sync(kAllLanes, highest, lanes);
    highest = highest > other ? highest : other;
  }
  if (threadIdx.x % kWarpSize == 0) {
    shared[threadIdx.x / kWarpSize] = __uint_as_float(highest);
  }
  __syncthreads();
  for (int warp = 0; warp < kThreads / kWarpSize; ++warp) {
    const uint32_t other = __float_as_uint(shared[warp]);
    highest = highest > other ? highest : other;
  }
  if (col >= cols) {
    return;
  }
  constexpr uint32_t kInfinityBits = 0x7F800000;
  constexpr float kLeastMagnitude = 0x1p-126F * 127;
  const float magnitude = __uint_as_float(highest);
  float result = 0;
  if (highest >= kInfinityBits) {
    result = __uint_as_float(0x7FC00000);
  } else if (magnitude >= kLeastMagnitude) {
    result = rintf(value * (127.0F / magnitude)) * (magnitude / 127.0F);
  }
  rounded[blockIdx.x * stride + col] = result;
}

}  // namespace

void RoundThroughInt8(const TensorView<const float, 2>& x, const TensorView<float, 2>& rounded) {
  const int64_t cols = x.extent(1);
  Launch("round_rows",
         RoundRows,
         {.grid = dim3(static_cast<unsigned>(x.extent(0)), static_cast<unsigned>(NumGroups(cols))),
          .threads = kThreads,
          .shared_bytes = kThreads / kWarpSize * sizeof(float)},
         x.data,
         x.strides[0],
         cols,
         rounded.data,
         rounded.strides[0]);
}

}  // namespace hadal::cuda
