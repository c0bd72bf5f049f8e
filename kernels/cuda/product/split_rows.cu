#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/scratch.h"
#include "kernels/cuda/product/split_rows.h"

namespace hadal::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads)
    SplitElements(const float* x, int64_t x_stride, int64_t cols, SplitRows rows) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  const int64_t row = blockIdx.x;
  for (int64_t i = threadIdx.x; i < rows.stride; i += kThreads) {
    const float value = i < cols ? x[row * x_stride + i] : 0.0F;
    SplitFloat(value, rows.high[row * rows.stride + i], rows.low[row * rows.stride + i]);
  }
}

}  // namespace

SplitRows AllocateSplitRows(int64_t num_rows, int64_t cols, Scratch& scratch) {
  const int64_t stride = (cols + kSplitAlignment - 1) / kSplitAlignment * kSplitAlignment;
  return {.high = scratch.Allocate<bf16>(num_rows * stride),
          .low = scratch.Allocate<bf16>(num_rows * stride),
          .num_rows = num_rows,
          .stride = stride};
}

SplitRows Split(const TensorView<const float, 2>& x, Scratch& scratch) {
  const SplitRows rows = AllocateSplitRows(x.extent(0), x.extent(1), scratch);
  Launch("split_rows",
         SplitElements,
         {.grid = dim3(static_cast<unsigned>(rows.num_rows)), .threads = kThreads},
         x.data,
         x.strides[0],
         x.extent(1),
         rows);
  return rows;
}

}  // namespace hadal::cuda
