#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/ops.h"
#include "kernels/gather_rows.h"

namespace hadal::cuda {
namespace {

constexpr int kThreads = 256;

struct Rows {
  const float* x;
  int64_t x_stride;
  const int32_t* rows;
  float* y;
  int64_t y_stride;
  int64_t width;
};

// A block for each row.
__global__ void __launch_bounds__(kThreads) CopyRows(Rows args) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  const float* x = args.x + args.rows[blockIdx.x] * args.x_stride;
  float* y = args.y + blockIdx.x * args.y_stride;
  for (int64_t i = threadIdx.x; i < args.width; i += kThreads) {
    y[i] = x[i];
  }
}

}  // namespace

void GatherRows(const GatherRowsArgs& args, ExecutionContext& /*context*/) {
  Launch("gather_rows",
         CopyRows,
         {.grid = dim3(static_cast<unsigned>(args.y.extent(0))), .threads = kThreads},
         {.x = args.x.data,
          .x_stride = args.x.strides[0],
          .rows = args.rows.data,
          .y = args.y.data,
          .y_stride = args.y.strides[0],
          .width = args.y.extent(1)});
}

}  // namespace hadal::cuda
