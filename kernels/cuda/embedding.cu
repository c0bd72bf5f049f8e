#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/weight_element.h"
#include "kernels/cuda/ops.h"
#include "kernels/embedding.h"

namespace hadal::cuda {
namespace {

constexpr int kThreads = 256;

// A block for each token.
__global__ void __launch_bounds__(kThreads)
    CopyRows(const int32_t* token_ids, WeightMatrix table, float* y, int64_t y_stride) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  const int64_t row = token_ids[blockIdx.x];
  for (int64_t i = threadIdx.x; i < table.cols; i += kThreads) {
    y[blockIdx.x * y_stride + i] = WeightElement(table, row, i);
  }
}

}  // namespace

void Embedding(const EmbeddingArgs& args, ExecutionContext& /*context*/) {
  Launch("embedding",
         CopyRows,
         {.grid = dim3(static_cast<unsigned>(args.token_ids.extent(0))), .threads = kThreads},
         args.token_ids.data,
         args.table,
         args.y.data,
         args.y.strides[0]);
}

}  // namespace hadal::cuda
