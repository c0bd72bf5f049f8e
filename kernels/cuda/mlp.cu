#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/scratch.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/product/gated.h"
#include "kernels/cuda/product/plan.h"
#include "kernels/cuda/product/product.h"
#include "kernels/mlp.h"

namespace hadal::cuda {
namespace {

constexpr int kThreads = 256;

// gate = silu(gate) * up.
__global__ void __launch_bounds__(kThreads)
    GateRows(float* gate, const float* up, int64_t num_elements) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < num_elements) {
    gate[i] = gate[i] / (1.0F + expf(-gate[i])) * up[i];
  }
}

AllExperts One(const WeightMatrix& matrix) {
  return {.routed = {.first = matrix, .row_cols = matrix.cols}};
}

}  // namespace

void Mlp(const MlpArgs& args, ExecutionContext& context) {
  Scratch scratch(context);
  const int64_t num_tokens = args.x.extent(0);
  if (TakesTensorCores(args.weights)) {
    const ExpertTiles tiles = OneExpert(num_tokens);
    const InputRows hidden = MultiplyGated(MakeInputRows(args.x, tiles.tile_tokens, scratch),
                                           One(args.weights.gate_proj),
                                           One(args.weights.up_proj),
                                           tiles,
                                           scratch);
    Multiply(hidden, args.weights.down_proj, Output::kAdd, args.y, scratch);
    return;
  }
  const int64_t intermediate_size = args.weights.gate_proj.rows;
  const int64_t num_elements = num_tokens * intermediate_size;
  const auto gate = MakeView(scratch.Allocate<float>(num_elements), num_tokens, intermediate_size);
  const auto up = MakeView(scratch.Allocate<float>(num_elements), num_tokens, intermediate_size);
  Linear({.x = args.x, .weight = args.weights.gate_proj, .output = Output::kStore, .y = gate},
         context);
  Linear({.x = args.x, .weight = args.weights.up_proj, .output = Output::kStore, .y = up}, context);
  Launch("gate_rows",
         GateRows,
         {.grid = dim3(static_cast<unsigned>((num_elements + kThreads - 1) / kThreads)),
          .threads = kThreads},
         gate.data,
         static_cast<const float*>(up.data),
         num_elements);
  Linear({.x = gate, .weight = args.weights.down_proj, .output = Output::kAdd, .y = args.y},
         context);
}

}  // namespace hadal::cuda
