#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/warp.h"
#include "kernels/cuda/ops.h"
#include "kernels/rms_norm.h"

namespace hadal::cuda {
namespace {

constexpr int kThreads = 256;

struct Rows {
  const float* x;
  int64_t x_stride;
  const float* weight;
  float* y;  // may be x
  int64_t y_stride;
  int64_t hidden_size;
  float epsilon;
};

// A block for each row.
__global__ void __launch_bounds__(kThreads) NormRows(Rows rows) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  const float* x = rows.x + blockIdx.x * rows.x_stride;
  float* y = rows.y + blockIdx.x * rows.y_stride;
  float sum = 0;
  for (int64_t i = threadIdx.x; i < rows.hidden_size; i += kThreads) {
    sum += x[i] * x[i];
  }
  sum = BlockSum(sum, reinterpret_cast<float*>(DynamicShared()));
  const float scale = 1.0F / sqrtf(sum / static_cast<float>(rows.hidden_size) + rows.epsilon);
  for (int64_t i = threadIdx.x; i < rows.hidden_size; i += kThreads) {
    y[i] = x[i] * scale * rows.weight[i];
  }
}

}  // namespace

void RmsNorm(const RmsNormArgs& args, ExecutionContext& /*context*/) {
  Launch("rms_norm",
         NormRows,
         {.grid = dim3(static_cast<unsigned>(args.x.extent(0))),
          .threads = kThreads,
          .shared_bytes = kThreads / kWarpSize * sizeof(float)},
         {.x = args.x.data,
          .x_stride = args.x.strides[0],
          .weight = args.weight.data,
          .y = args.y.data,
          .y_stride = args.y.strides[0],
          .hidden_size = args.x.extent(1),
          .epsilon = args.epsilon});
}

}  // namespace hadal::cuda
