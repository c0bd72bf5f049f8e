#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/scratch.h"
#include "kernels/cuda/device/warp.h"
#include "kernels/cuda/device/weight_element.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/product/expert_plan.h"
#include "kernels/cuda/product/plan.h"
#include "kernels/cuda/round_rows.h"
#include "kernels/moe_experts.h"

namespace hadal::cuda {
namespace {

constexpr int kWarps = 4;

__device__ __forceinline__ WeightMatrix MatrixOf(const ExpertMatrices& experts, int64_t expert) {
  WeightMatrix matrix = experts.first;
  matrix.payload = static_cast<const std::byte*>(matrix.payload) + expert * experts.payload_bytes;
  matrix.scales += expert * experts.num_scales;
  return matrix;
}

struct Experts {
  ExpertMatrices gate;
  ExpertMatrices up;
  ExpertMatrices down;
  const int32_t* ids;
  int64_t ids_stride;
  const float* weights;
  int64_t weights_stride;
  int64_t num_experts_per_tok;
};

__device__ float WarpDot(const WeightMatrix& weight, int64_t row, const float* x) {
  float sum = 0;
  for (int64_t col = threadIdx.x % kWarpSize; col < weight.cols; col += kWarpSize) {
    sum += x[col] * WeightElement(weight, row, col);
  }
  return WarpSum(sum);
}

// A warp for each intermediate element of a token's expert.
__global__ void __launch_bounds__(kWarps* kWarpSize)
    GateAndUp(Experts experts, const float* x, int64_t x_stride, float* hidden) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  const int64_t intermediate_size = experts.gate.first.rows;
  const int64_t row = int64_t{blockIdx.y} * kWarps + threadIdx.x / kWarpSize;
  if (row >= intermediate_size) {
    return;
  }
  const int64_t token = blockIdx.x;
  const int64_t k = blockIdx.z;
  const int64_t expert = experts.ids[token * experts.ids_stride + k];
  const float gate = WarpDot(MatrixOf(experts.gate, expert), row, x + token * x_stride);
  const float up = WarpDot(MatrixOf(experts.up, expert), row, x + token * x_stride);
  if (threadIdx.x % kWarpSize == 0) {
    hidden[(token * experts.num_experts_per_tok + k) * intermediate_size + row] =
        gate / (1.0F + expf(-gate)) * up;
  }
}

// A warp for each output element of a token: its experts in the order of their ids' columns.
__global__ void __launch_bounds__(kWarps* kWarpSize)
    DownAndAdd(Experts experts, const float* hidden, float* y, int64_t y_stride) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  const int64_t row = int64_t{blockIdx.y} * kWarps + threadIdx.x / kWarpSize;
  if (row >= experts.down.first.rows) {
    return;
  }
  const int64_t token = blockIdx.x;
  float sum = y[token * y_stride + row];
  for (int64_t k = 0; k < experts.num_experts_per_tok; ++k) {
    const int64_t expert = experts.ids[token * experts.ids_stride + k];
    const float* input =
        hidden + (token * experts.num_experts_per_tok + k) * experts.down.first.cols;
    const float output = WarpDot(MatrixOf(experts.down, expert), row, input);
    sum += experts.weights[token * experts.weights_stride + k] * output;
  }
  if (threadIdx.x % kWarpSize == 0) {
    y[token * y_stride + row] = sum;
  }
}

unsigned NumBlocks(int64_t rows) {
  return static_cast<unsigned>((rows + kWarps - 1) / kWarps);
}

// The rows that products with `weight` take.
TensorView<const float, 2> InputOf(const WeightMatrix& weight,
                                   const TensorView<const float, 2>& x,
                                   Scratch& scratch) {
  if (!IsQuantized(weight.format)) {
    return x;
  }
  const auto rounded =
      MakeView(scratch.Allocate<float>(x.extent(0) * x.extent(1)), x.extent(0), x.extent(1));
  RoundThroughInt8(x, rounded);
  return rounded;
}

// Any format and shape: each token by itself. Tokens are in x, the only extent of a grid that may
// be above 65535.
void MultiplySimply(const MoeExpertsArgs& args, const Experts& experts, Scratch& scratch) {
  const int64_t num_tokens = args.x.extent(0);
  const int64_t top_k = experts.num_experts_per_tok;
  const WeightMatrix& gate = experts.gate.first;
  const auto hidden = MakeView(
      scratch.Allocate<float>(num_tokens * top_k * gate.rows), num_tokens * top_k, gate.rows);
  const TensorView<const float, 2> x = InputOf(gate, args.x, scratch);
  Launch(
      "moe_gate_and_up",
      GateAndUp,
      {.grid = dim3(
           static_cast<unsigned>(num_tokens), NumBlocks(gate.rows), static_cast<unsigned>(top_k)),
       .threads = kWarps * kWarpSize},
      experts,
      x.data,
      x.strides[0],
      hidden.data);
  const TensorView<const float, 2> input = InputOf(experts.down.first, hidden, scratch);
  Launch("moe_down_and_add",
         DownAndAdd,
         {.grid = dim3(static_cast<unsigned>(num_tokens), NumBlocks(experts.down.first.rows)),
          .threads = kWarps * kWarpSize},
         experts,
         input.data,
         args.y.data,
         args.y.strides[0]);
}

// Whether the shared network is some experts side by side, of the shape of a routed one.
bool AreExperts(const MlpWeights& shared, const MlpWeights& routed) {
  const int64_t width = routed.gate_proj.rows;
  const WeightMatrix& gate = shared.gate_proj;
  const WeightMatrix& down = shared.down_proj;
  const auto have_equal_blocks = [](const WeightMatrix& a, const WeightMatrix& b) {
    return a.format == b.format && a.block_rows == b.block_rows && a.block_cols == b.block_cols;
  };
  return TakesTensorCores(shared) && have_equal_blocks(gate, routed.gate_proj) &&
         have_equal_blocks(down, routed.down_proj) && gate.rows % width == 0 &&
         (gate.format != WeightFormat::kFp8Block || width % gate.block_rows == 0) &&
         (down.format != WeightFormat::kFp8Block || width % down.block_cols == 0);
}

// All pairs of token and expert by expert, so that each expert's weights are read once. `shared` is
// null, or as AreExperts says.
void MultiplyPairs(const MoeExpertsArgs& args,
                   const Experts& experts,
                   const MlpWeights* shared,
                   Scratch& scratch) {
  const int64_t num_routed = args.experts.extent(0);
  const int64_t width = experts.gate.first.rows;
  AllExperts gate = {.routed = experts.gate, .num_routed = num_routed};
  AllExperts up = {.routed = experts.up, .num_routed = num_routed};
  AllExperts down = {.routed = experts.down, .num_routed = num_routed};
  int64_t num_shared = 0;
  if (shared != nullptr) {
    gate.shared = CutRows(shared->gate_proj, width);
    up.shared = CutRows(shared->up_proj, width);
    down.shared = CutColumns(shared->down_proj, width);
    num_shared = shared->gate_proj.rows / width;
  }
  const auto num_chosen = static_cast<int32_t>(experts.num_experts_per_tok);
  const ExpertTiles tiles =
      PlanExperts({.ids = experts.ids,
                   .ids_stride = experts.ids_stride,
                   .num_chosen = num_chosen,
                   .num_routed = static_cast<int32_t>(num_routed),
                   .experts_per_token = num_chosen + static_cast<int32_t>(num_shared)},
                  args.x.extent(0),
                  scratch);
  const InputRows x = MakeInputRows(args.x, tiles.tile_tokens, scratch);
  const InputRows hidden = MultiplyGated(x, gate, up, tiles, scratch);
  MultiplyAndCombine(hidden, down, tiles, {.weights = args.weights, .y = args.y}, scratch);
}

}  // namespace

void MoeExperts(const MoeExpertsArgs& args, ExecutionContext& context) {
  Scratch scratch(context);
  const Experts experts = {.gate = MatricesOf(args.experts, &MlpWeights::gate_proj),
                           .up = MatricesOf(args.experts, &MlpWeights::up_proj),
                           .down = MatricesOf(args.experts, &MlpWeights::down_proj),
                           .ids = args.expert_ids.data,
                           .ids_stride = args.expert_ids.strides[0],
                           .weights = args.weights.data,
                           .weights_stride = args.weights.strides[0],
                           .num_experts_per_tok = args.expert_ids.extent(1)};
  const MlpWeights* shared = args.shared_experts.has_value() ? &*args.shared_experts : nullptr;
  if (TakesTensorCores(args.experts(0))) {
    const bool joins = shared != nullptr && AreExperts(*shared, args.experts(0));
    MultiplyPairs(args, experts, joins ? shared : nullptr, scratch);
    shared = joins ? nullptr : shared;
  } else {
    MultiplySimply(args, experts, scratch);
  }
  if (shared != nullptr) {
    Mlp({.x = args.x, .weights = *shared, .y = args.y}, context);
  }
}

}  // namespace hadal::cuda
