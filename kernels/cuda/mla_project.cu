#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/scratch.h"
#include "kernels/cuda/device/warp.h"
#include "kernels/cuda/latent_rows.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/product/product.h"
#include "kernels/mla_project.h"

namespace hadal::cuda {
namespace {

constexpr int kThreads = 256;

struct Rotation {
  const float* cos;
  const float* sin;
  int64_t cos_stride;
  int64_t sin_stride;
  int64_t rope_dim;
};

// Pair i of a head: kernels/rope.h.
__device__ __forceinline__ float2
RotatePair(const Rotation& angles, int64_t token, int64_t i, float real, float imaginary) {
  const float cos = angles.cos[token * angles.cos_stride + i];
  const float sin = angles.sin[token * angles.sin_stride + i];
  return make_float2(real * cos - imaginary * sin, real * sin + imaginary * cos);
}

struct Queries {
  float* q;
  int64_t stride;  // of a token
  int64_t num_heads;
  int64_t qk_head_dim;
  Rotation angles;
};

struct Latents {
  const float* kv;  // [num_tokens, row_width] as projected
  const float* norm;
  float epsilon;
  const int64_t* slots;
  LatentCache cache;
  int64_t row_bytes;
};

// A block for each token: turns its queries in place, then norms, turns and stores its cache row.
// Shared: a float for each warp, then the row.
__global__ void __launch_bounds__(kThreads) FinishToken(Queries queries, Latents latents) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  const int64_t token = blockIdx.x;
  const Rotation& angles = queries.angles;
  const int64_t num_pairs = angles.rope_dim / 2;
  for (int64_t i = threadIdx.x; i < queries.num_heads * num_pairs; i += kThreads) {
    const int64_t pair = i % num_pairs;
    float* q = queries.q + token * queries.stride + (i / num_pairs + 1) * queries.qk_head_dim -
               angles.rope_dim + 2 * pair;
    const float2 turned = RotatePair(angles, token, pair, q[0], q[1]);
    q[0] = turned.x;
    q[1] = turned.y;
  }

  auto* sums = reinterpret_cast<float*>(DynamicShared());
  float* row = sums + kThreads / kWarpSize;
  const int64_t rank = latents.cache.kv_lora_rank;
  const float* kv = latents.kv + token * latents.cache.row_width;
  float sum = 0;
  for (int64_t i = threadIdx.x; i < rank; i += kThreads) {
    sum += kv[i] * kv[i];
  }
  sum = BlockSum(sum, sums);
  const float scale = 1.0F / sqrtf(sum / static_cast<float>(rank) + latents.epsilon);
  for (int64_t i = threadIdx.x; i < rank; i += kThreads) {
    row[i] = kv[i] * scale * latents.norm[i];
  }
  for (int64_t i = threadIdx.x; i < num_pairs; i += kThreads) {
    const float2 turned = RotatePair(angles, token, i, kv[rank + 2 * i], kv[rank + 2 * i + 1]);
    row[rank + 2 * i] = turned.x;
    row[rank + 2 * i + 1] = turned.y;
  }
  __syncthreads();
  StoreLatentRow(
      latents.cache,
      static_cast<std::byte*>(latents.cache.rows) + latents.slots[token] * latents.row_bytes,
      row);
}

}  // namespace

void MlaProject(const MlaProjectArgs& args, ExecutionContext& context) {
  Scratch scratch(context);
  const MlaProjectWeights& weights = args.weights;
  const int64_t num_tokens = args.x.extent(0);
  const int64_t q_lora_rank = weights.q_a_layernorm.extent(0);
  const int64_t row_width = args.cache.row_width;
  const TensorView<float, 2> q = {
      args.q.data, {num_tokens, weights.q_b_proj.rows}, {args.q.strides[0], 1}};
  const auto kv = MakeView(scratch.Allocate<float>(num_tokens * row_width), num_tokens, row_width);
  const LinearArgs project_kv = {
      .x = args.x, .weight = weights.kv_a_proj_with_mqa, .output = Output::kStore, .y = kv};
  if (q_lora_rank == 0) {
    LinearPair({.x = args.x, .weight = weights.q_b_proj, .output = Output::kStore, .y = q},
               project_kv,
               context);
  } else {
    const auto latent =
        MakeView(scratch.Allocate<float>(num_tokens * q_lora_rank), num_tokens, q_lora_rank);
    LinearPair({.x = args.x, .weight = weights.q_a_proj, .output = Output::kStore, .y = latent},
               project_kv,
               context);
    RmsNorm(
        {.x = latent, .weight = weights.q_a_layernorm, .epsilon = args.rms_norm_eps, .y = latent},
        context);
    Linear({.x = latent, .weight = weights.q_b_proj, .output = Output::kStore, .y = q}, context);
  }
  const Queries queries = {.q = args.q.data,
                           .stride = args.q.strides[0],
                           .num_heads = args.q.extent(1),
                           .qk_head_dim = args.q.extent(2),
                           .angles = {.cos = args.angles.cos.data,
                                      .sin = args.angles.sin.data,
                                      .cos_stride = args.angles.cos.strides[0],
                                      .sin_stride = args.angles.sin.strides[0],
                                      .rope_dim = row_width - args.cache.kv_lora_rank}};
  const Latents latents = {.kv = kv.data,
                           .norm = weights.kv_a_layernorm.data,
                           .epsilon = args.rms_norm_eps,
                           .slots = args.slots.data,
                           .cache = args.cache,
                           .row_bytes = RowBytes(args.cache)};
  Launch("mla_project",
         FinishToken,
         {.grid = dim3(static_cast<unsigned>(num_tokens)),
          .threads = kThreads,
          .shared_bytes = static_cast<size_t>(kThreads / kWarpSize + row_width) * sizeof(float)},
         queries,
         latents);
}

}  // namespace hadal::cuda
