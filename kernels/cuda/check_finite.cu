#include "kernels/check_finite.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/warp.h"
#include "kernels/cuda/ops.h"

namespace hadal::cuda {
namespace {

constexpr int kThreads = 256;

// A block for each row. The bits tell: compilers may take floats for finite.
__global__ void __launch_bounds__(kThreads)
    CheckRows(const float* x, int64_t x_stride, int64_t width, int32_t* is_finite) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  constexpr uint32_t kMagnitude = 0x7FFFFFFF;
  constexpr uint32_t kInfinity = 0x7F800000;
  const float* row = x + blockIdx.x * x_stride;
  float num_not_finite = 0;  // of threads that met some
  for (int64_t i = threadIdx.x; i < width; i += kThreads) {
    if ((__float_as_uint(row[i]) & kMagnitude) >= kInfinity) {
      num_not_finite = 1;
    }
  }
  num_not_finite = BlockSum(num_not_finite, reinterpret_cast<float*>(DynamicShared()));
  if (threadIdx.x == 0) {
    is_finite[blockIdx.x] = num_not_finite == 0 ? 1 : 0;
  }
}

}  // namespace

void CheckFinite(const CheckFiniteArgs& args, ExecutionContext& /*context*/) {
  Launch("check_finite",
         CheckRows,
         {.grid = dim3(static_cast<unsigned>(args.x.extent(0))),
          .threads = kThreads,
          .shared_bytes = kThreads / kWarpSize * sizeof(float)},
         args.x.data,
         args.x.strides[0],
         args.x.extent(1),
         args.is_finite.data);
}

}  // namespace hadal::cuda
