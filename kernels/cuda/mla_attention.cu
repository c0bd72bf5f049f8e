#include <algorithm>

#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/scratch.h"
#include "kernels/cuda/device/warp.h"
#include "kernels/cuda/device/weight_element.h"
#include "kernels/cuda/latent_rows.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/round_rows.h"
#include "kernels/mla_attention.h"

namespace hadal::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarpSize;
// Positions of one block. The cuts are the same whatever else is in the batch.
constexpr int64_t kPartPositions = 256;

// What the kernels share. A part is a block's piece of a context: its highest score, the sum of its
// weights, and its weighted sum of latents.
struct Attention {
  const float* absorbed;  // [num_tokens, num_heads, kv_lora_rank]
  const float* q;         // [num_tokens, num_heads, qk_head_dim], strides as given
  int64_t q_token_stride;
  int64_t q_head_stride;
  int64_t nope_dim;
  LatentCache cache;
  int64_t row_bytes;
  const int32_t* query_starts;
  int64_t num_sequences;
  const int32_t* block_tables;
  int64_t tables_stride;
  const int32_t* positions;
  float softmax_scale;
  int64_t num_heads;
  int64_t num_parts;  // of the longest context that the tables have room for
  float* highest;     // [num_tokens, num_heads, num_parts]
  float* sums;        // [num_tokens, num_heads, num_parts]
  float* latents;     // [num_tokens, num_heads, num_parts, kv_lora_rank]
};

struct KvUp {
  KvUpWeights weights;
  int64_t nope_dim;
  int64_t kv_lora_rank;
  int64_t v_head_dim;
};

// U_h [i, j] and V_h [i, j] of kernels/mla_attention.h.
__device__ __forceinline__ float KeyWeight(const KvUp& up, int64_t head, int64_t i, int64_t j) {
  if (up.weights.keys.payload != nullptr) {
    return WeightElement(up.weights.keys, head * RoundUpToPanel(up.kv_lora_rank) + j, i);
  }
  return WeightElement(up.weights.whole, head * (up.nope_dim + up.v_head_dim) + i, j);
}

__device__ __forceinline__ float ValueWeight(const KvUp& up, int64_t head, int64_t i, int64_t j) {
  if (up.weights.values.payload != nullptr) {
    return WeightElement(up.weights.values, head * RoundUpToPanel(up.v_head_dim) + i, j);
  }
  return WeightElement(up.weights.whole, head * (up.nope_dim + up.v_head_dim) + up.nope_dim + i, j);
}

// absorbed = U_hᵀ q_nope, a block for each token and head.
__global__ void __launch_bounds__(kThreads) AbsorbQueries(
    KvUp up, const float* q, int64_t token_stride, int64_t head_stride, float* absorbed) {
  const int64_t token = blockIdx.x;
  const int64_t head = blockIdx.y;
  q += token * token_stride + head * head_stride;
  absorbed += (token * gridDim.y + head) * up.kv_lora_rank;
  for (int64_t j = threadIdx.x; j < up.kv_lora_rank; j += kThreads) {
    float sum = 0;
    for (int64_t i = 0; i < up.nope_dim; ++i) {
      sum += q[i] * KeyWeight(up, head, i, j);
    }
    absorbed[j] = sum;
  }
}

__device__ int64_t SequenceOf(const Attention& attention, int64_t token) {
  int64_t low = 0;
  int64_t high = attention.num_sequences;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    if (attention.query_starts[middle] <= token) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

// A block for each token, head and part. Shared: a score for each position, a float for each warp.
__global__ void __launch_bounds__(kThreads) AttendPart(Attention attention) {
  const int64_t token = blockIdx.x;
  const int64_t head = blockIdx.y;
  const int64_t begin = int64_t{blockIdx.z} * kPartPositions;
  const int64_t end = min(begin + kPartPositions, int64_t{attention.positions[token]} + 1);
  if (begin >= end) {
    return;
  }
  auto* scores = reinterpret_cast<float*>(DynamicShared());
  float* warp_sums = scores + kPartPositions;
  const LatentCache& cache = attention.cache;
  const int32_t* table =
      attention.block_tables + SequenceOf(attention, token) * attention.tables_stride;
  const auto row_of = [&](int64_t position) {
    const int64_t slot = int64_t{table[position / cache.block_size]} * cache.block_size +
                         position % cache.block_size;
    return static_cast<const std::byte*>(cache.rows) + slot * attention.row_bytes;
  };
  const int64_t lane = threadIdx.x % kWarpSize;
  const int64_t rank = cache.kv_lora_rank;
  const float* absorbed = attention.absorbed + (token * attention.num_heads + head) * rank;
  const float* q_pe = attention.q + token * attention.q_token_stride +
                      head * attention.q_head_stride + attention.nope_dim;

  // 1. Scores, a warp for each position.
  float highest = -INFINITY;
  for (int64_t s = begin + threadIdx.x / kWarpSize; s < end; s += kWarps) {
    const std::byte* row = row_of(s);
    float score = 0;
    for (int64_t i = lane; i < cache.row_width; i += kWarpSize) {
      score += (i < rank ? absorbed[i] : q_pe[i - rank]) * LatentElement(cache, row, i);
    }
    score = WarpSum(score) * attention.softmax_scale;
    if (lane == 0) {
      scores[s - begin] = score;
    }
  }
  __syncthreads();
  for (int64_t i = 0; i < end - begin; ++i) {
    highest = scores[i] > highest || isnan(scores[i]) ? scores[i] : highest;
  }
  __syncthreads();

  // 2. Weights.
  float sum = 0;
  for (int64_t i = threadIdx.x; i < end - begin; i += kThreads) {
    scores[i] = expf(scores[i] - highest);
    sum += scores[i];
  }
  sum = BlockSum(sum, warp_sums);  // its barrier makes the weights visible, too

  // 3. The weighted sum of latents, some columns for each thread.
  const int64_t part =
      (token * attention.num_heads + head) * attention.num_parts + int64_t{blockIdx.z};
  for (int64_t j = threadIdx.x; j < rank; j += kThreads) {
    float latent = 0;
    for (int64_t s = begin; s < end; ++s) {
      latent += scores[s - begin] * LatentElement(cache, row_of(s), j);
    }
    attention.latents[part * rank + j] = latent;
  }
  if (threadIdx.x == 0) {
    attention.highest[part] = highest;
    attention.sums[part] = sum;
  }
}

// A block for each token and head: joins its parts in their order.
__global__ void __launch_bounds__(kThreads) JoinParts(Attention attention, float* latents) {
  const int64_t token = blockIdx.x;
  const int64_t rank = attention.cache.kv_lora_rank;
  const int64_t row = token * gridDim.y + blockIdx.y;
  const int64_t num_parts = attention.positions[token] / kPartPositions + 1;
  const float* highest = attention.highest + row * attention.num_parts;
  const float* sums = attention.sums + row * attention.num_parts;
  float top = -INFINITY;
  for (int64_t part = 0; part < num_parts; ++part) {
    top = highest[part] > top || isnan(highest[part]) ? highest[part] : top;
  }
  float sum = 0;
  for (int64_t part = 0; part < num_parts; ++part) {
    sum += sums[part] * expf(highest[part] - top);
  }
  for (int64_t j = threadIdx.x; j < rank; j += kThreads) {
    float latent = 0;
    for (int64_t part = 0; part < num_parts; ++part) {
      latent += attention.latents[(row * attention.num_parts + part) * rank + j] *
                expf(highest[part] - top);
    }
    latents[row * rank + j] = latent / sum;
  }
}

// out = V_h · latent, a block for each token and head, a warp for each element by turns.
__global__ void __launch_bounds__(kThreads) ProjectValues(
    KvUp up, const float* latents, float* out, int64_t token_stride, int64_t head_stride) {
  const int64_t token = blockIdx.x;
  const int64_t head = blockIdx.y;
  latents += (token * gridDim.y + head) * up.kv_lora_rank;
  for (int64_t i = threadIdx.x / kWarpSize; i < up.v_head_dim; i += kWarps) {
    float sum = 0;
    for (int64_t j = threadIdx.x % kWarpSize; j < up.kv_lora_rank; j += kWarpSize) {
      sum += latents[j] * ValueWeight(up, head, i, j);
    }
    sum = WarpSum(sum);
    if (threadIdx.x % kWarpSize == 0) {
      out[token * token_stride + head * head_stride + i] = sum;
    }
  }
}

// q_nope as products with kv_b_proj take it: [num_tokens * num_heads, nope_dim], or as given.
TensorView<const float, 3> NopeQueries(const MlaAttentionArgs& args,
                                       int64_t nope_dim,
                                       Scratch& scratch) {
  TensorView<const float, 3> q = args.q;
  q.extents[2] = nope_dim;
  if (!args.kv_b_proj.is_quantized()) {
    return q;
  }
  const int64_t num_tokens = q.extent(0);
  const int64_t num_heads = q.extent(1);
  const auto rounded = MakeView(
      scratch.Allocate<float>(num_tokens * num_heads * nope_dim), num_tokens, num_heads, nope_dim);
  for (int64_t head = 0; head < num_heads; ++head) {
    RoundThroughInt8(
        {q.data + head * q.strides[1], {num_tokens, nope_dim}, {q.strides[0], 1}},
        {rounded.data + head * nope_dim, {num_tokens, nope_dim}, {num_heads * nope_dim, 1}});
  }
  return rounded;
}

}  // namespace

void MlaAttention(const MlaAttentionArgs& args, ExecutionContext& context) {
  Scratch scratch(context);
  const int64_t num_tokens = args.q.extent(0);
  const int64_t num_heads = args.q.extent(1);
  const int64_t rank = args.kv_lora_rank;
  const int64_t num_rows = num_tokens * num_heads;
  const KvUp up = {.weights = args.kv_b_proj,
                   .nope_dim = args.q.extent(2) - (args.cache.row_width - rank),
                   .kv_lora_rank = rank,
                   .v_head_dim = args.v_head_dim};
  const int64_t max_positions = args.block_tables.extent(1) * args.cache.block_size;
  const int64_t num_parts =
      std::max<int64_t>(1, (max_positions + kPartPositions - 1) / kPartPositions);
  const TensorView<const float, 3> nope = NopeQueries(args, up.nope_dim, scratch);
  auto* absorbed = scratch.Allocate<float>(num_rows * rank);
  const Attention attention = {.absorbed = absorbed,
                               .q = args.q.data,
                               .q_token_stride = args.q.strides[0],
                               .q_head_stride = args.q.strides[1],
                               .nope_dim = up.nope_dim,
                               .cache = args.cache,
                               .row_bytes = RowBytes(args.cache),
                               .query_starts = args.query_starts.data,
                               .num_sequences = args.block_tables.extent(0),
                               .block_tables = args.block_tables.data,
                               .tables_stride = args.block_tables.strides[0],
                               .positions = args.positions.data,
                               .softmax_scale = args.softmax_scale,
                               .num_heads = num_heads,
                               .num_parts = num_parts,
                               .highest = scratch.Allocate<float>(num_rows * num_parts),
                               .sums = scratch.Allocate<float>(num_rows * num_parts),
                               .latents = scratch.Allocate<float>(num_rows * num_parts * rank)};
  const dim3 rows(static_cast<unsigned>(num_tokens), static_cast<unsigned>(num_heads));
  Launch("absorb_queries",
         AbsorbQueries,
         {.grid = rows, .threads = kThreads},
         up,
         nope.data,
         nope.strides[0],
         nope.strides[1],
         absorbed);
  Launch("attend_part",
         AttendPart,
         {.grid = dim3(rows.x, rows.y, static_cast<unsigned>(num_parts)),
          .threads = kThreads,
          .shared_bytes = (kPartPositions + kWarps) * sizeof(float)},
         attention);
  auto latents = MakeView(scratch.Allocate<float>(num_rows * rank), num_rows, rank);
  Launch("join_parts", JoinParts, {.grid = rows, .threads = kThreads}, attention, latents.data);
  if (args.kv_b_proj.is_quantized()) {
    RoundThroughInt8(latents, latents);
  }
  Launch("project_values",
         ProjectValues,
         {.grid = rows, .threads = kThreads},
         up,
         static_cast<const float*>(latents.data),
         args.out.data,
         args.out.strides[0],
         args.out.strides[1]);
}

}  // namespace hadal::cuda
