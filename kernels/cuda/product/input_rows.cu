#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/scratch.h"
#include "kernels/cuda/product/input_rows.h"
#include "kernels/cuda/product/plan.h"

namespace hadal::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kAlignment = 16;        // bytes
constexpr int64_t kSplitAlignment = 128;  // columns

// A block for each row of x.
__global__ void __launch_bounds__(kThreads)
    FillRows(const float* x, int64_t x_stride, int64_t cols, InputRows rows) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  const int64_t row = blockIdx.x;
  for (int64_t i = threadIdx.x; i < rows.stride; i += kThreads) {
    const float value = i < cols ? x[row * x_stride + i] : 0.0F;
    const int64_t at = row * rows.stride + i;
    if (rows.floats != nullptr) {
      rows.floats[at] = value;
    } else {
      SplitFloat(value, rows.high[at], rows.low[at]);
    }
  }
}

bool IsAligned(const TensorView<const float, 2>& x) {
  constexpr int64_t kFloats = kAlignment / sizeof(float);
  return reinterpret_cast<uintptr_t>(x.data) % kAlignment == 0 && x.strides[0] % kFloats == 0;
}

}  // namespace

InputRows AllocateInputRows(int64_t num_rows, int64_t cols, int64_t tile_tokens, Scratch& scratch) {
  const int64_t stride = (cols + kSplitAlignment - 1) / kSplitAlignment * kSplitAlignment;
  InputRows rows = {.num_rows = num_rows, .stride = stride};
  if (SplitsWhenLoaded(tile_tokens)) {
    rows.floats = scratch.Allocate<float>(num_rows * stride);
  } else {
    rows.high = scratch.Allocate<bf16>(num_rows * stride);
    rows.low = scratch.Allocate<bf16>(num_rows * stride);
  }
  return rows;
}

InputRows MakeInputRows(const TensorView<const float, 2>& x,
                        int64_t tile_tokens,
                        Scratch& scratch) {
  if (SplitsWhenLoaded(tile_tokens) && IsAligned(x)) {
    return {.floats = const_cast<float*>(x.data), .num_rows = x.extent(0), .stride = x.strides[0]};
  }
  const InputRows rows = AllocateInputRows(x.extent(0), x.extent(1), tile_tokens, scratch);
  Launch("input_rows",
         FillRows,
         {.grid = dim3(static_cast<unsigned>(rows.num_rows)), .threads = kThreads},
         x.data,
         x.strides[0],
         x.extent(1),
         rows);
  return rows;
}

}  // namespace hadal::cuda
