#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/scratch.h"
#include "kernels/cuda/device/warp.h"
#include "kernels/cuda/device/weight_element.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/product/plan.h"
#include "kernels/cuda/product/product.h"
#include "kernels/cuda/round_rows.h"
#include "kernels/linear.h"

namespace hadal::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kTokens = 8;  // of a warp

struct Product {
  const float* x;
  int64_t x_stride;
  WeightMatrix weight;
  float* y;
  int64_t y_stride;
  int64_t num_tokens;
  bool adds;
};

// A warp for each output of kTokens tokens: any format, any shape.
__global__ void __launch_bounds__(kWarps* kWarpSize) DotRows(Product product) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int64_t row = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarpSize;
  const int64_t first = int64_t{blockIdx.y} * kTokens;
  if (row >= product.weight.rows) {
    return;
  }
  float sums[kTokens] = {};
  for (int64_t col = lane; col < product.weight.cols; col += kWarpSize) {
    const float weight = WeightElement(product.weight, row, col);
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      if (first + t < product.num_tokens) {
        sums[t] += product.x[(first + t) * product.x_stride + col] * weight;
      }
    }
  }
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    const float sum = WarpSum(sums[t]);
    if (lane == 0 && first + t < product.num_tokens) {
      float& y = product.y[(first + t) * product.y_stride + row];
      y = product.adds ? y + sum : sum;
    }
  }
}

}  // namespace

void Linear(const LinearArgs& args, ExecutionContext& context) {
  Scratch scratch(context);
  if (TakesTensorCores(args.weight)) {
    const int64_t tile_tokens = TileTokens(args.x.extent(0), kMostTileTokens);
    const InputRows x = MakeInputRows(args.x, tile_tokens, scratch);
    Multiply(x, args.weight, args.output, args.y, scratch);
    return;
  }
  const int64_t num_tokens = args.x.extent(0);
  const int64_t cols = args.weight.cols;
  Product product = {.x = args.x.data,
                     .x_stride = args.x.strides[0],
                     .weight = args.weight,
                     .y = args.y.data,
                     .y_stride = args.y.strides[0],
                     .num_tokens = num_tokens,
                     .adds = args.output == Output::kAdd};
  if (IsQuantized(args.weight.format)) {
    const auto rounded = MakeView(scratch.Allocate<float>(num_tokens * cols), num_tokens, cols);
    RoundThroughInt8(args.x, rounded);
    product.x = rounded.data;
    product.x_stride = cols;
  }
  Launch("linear",
         DotRows,
         {.grid = dim3(static_cast<unsigned>((args.weight.rows + kWarps - 1) / kWarps),
                       static_cast<unsigned>((num_tokens + kTokens - 1) / kTokens)),
          .threads = kWarps * kWarpSize},
         product);
}

}  // namespace hadal::cuda
