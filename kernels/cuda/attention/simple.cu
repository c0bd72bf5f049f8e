#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/attention/plan.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/warp.h"
#include "kernels/cuda/device/weight_element.h"
#include "kernels/cuda/latent_rows.h"

// Attention with any widths, cache rows and weights, an element at a time.

namespace hadal::cuda {
namespace {

constexpr int kThreads = 64;
constexpr int kWarps = kThreads / kWarpSize;

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

// A view of three dimensions by value, as kernels take it.
template <typename T>
struct Rows {
  T* data;
  int64_t token_stride;
  int64_t head_stride;

  __device__ T* At(int64_t token, int64_t head) const {
    return data + token * token_stride + head * head_stride;
  }
};

template <typename T>
Rows<T> RowsOf(const TensorView<T, 3>& view) {
  return {view.data, view.strides[0], view.strides[1]};
}

// A thread for each element of [num_tokens, num_heads, kv_lora_rank].
__global__ void __launch_bounds__(kThreads) AbsorbQueries(KvUp up,
                                                          Rows<const float> q_nope,
                                                          Rows<float> absorbed,
                                                          int64_t num_heads,
                                                          int64_t num_elements) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  const int64_t index = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (index >= num_elements) {
    return;
  }
  const int64_t j = index % up.kv_lora_rank;
  const int64_t head = index / up.kv_lora_rank % num_heads;
  const int64_t token = index / up.kv_lora_rank / num_heads;
  const float* q = q_nope.At(token, head);
  float sum = 0;
  for (int64_t i = 0; i < up.nope_dim; ++i) {
    sum += q[i] * KeyWeight(up, head, i, j);
  }
  absorbed.At(token, head)[j] = sum;
}

// A warp for each element of [num_tokens, num_heads, v_head_dim].
__global__ void __launch_bounds__(kThreads) ProjectValues(
    KvUp up, Rows<const float> latents, Rows<float> out, int64_t num_heads, int64_t num_elements) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  const int64_t index = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarpSize;
  if (index >= num_elements) {
    return;
  }
  const int64_t i = index % up.v_head_dim;
  const int64_t head = index / up.v_head_dim % num_heads;
  const int64_t token = index / up.v_head_dim / num_heads;
  const float* latent = latents.At(token, head);
  float sum = 0;
  for (int64_t j = threadIdx.x % kWarpSize; j < up.kv_lora_rank; j += kWarpSize) {
    sum += latent[j] * ValueWeight(up, head, i, j);
  }
  sum = WarpSum(sum);
  if (threadIdx.x % kWarpSize == 0) {
    out.At(token, head)[i] = sum;
  }
}

__device__ int64_t SequenceOf(const Attention& attention, int64_t token) {
  int64_t low = 0;
  int64_t high = attention.num_sequences;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    if (attention.query_starts[middle] <= attention.first_token + token) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

// A block for each token, head and part. Shared: a score for each position, two floats for each
// warp. A NaN score makes its weight NaN, so maxima may pass over it.
__global__ void __launch_bounds__(kThreads) AttendPart(Attention attention) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  const int64_t token = blockIdx.x;
  const int64_t head = blockIdx.y;
  const int64_t begin = int64_t{blockIdx.z} * kPartPositions;
  const int64_t end = min(begin + kPartPositions, int64_t{attention.positions[token]} + 1);
  if (begin >= end) {
    return;
  }
  auto* scores = reinterpret_cast<float*>(DynamicShared());
  float* warp_maxima = scores + kPartPositions;
  const LatentCache& cache = attention.cache;
  const int32_t* table =
      attention.block_tables + SequenceOf(attention, token) * attention.tables_stride;
  // Short numbers: dividing by long ones is a call, for which registers would be spilled.
  const auto block_size = static_cast<uint32_t>(cache.block_size);
  const auto row_of = [&](int64_t position) {
    const auto index = static_cast<uint32_t>(position);
    const int64_t slot =
        int64_t{table[index / block_size]} * block_size + int64_t{index % block_size};
    return static_cast<const std::byte*>(cache.rows) + slot * attention.row_bytes;
  };
  const int64_t rank = cache.kv_lora_rank;
  const float* absorbed = attention.absorbed + (token * attention.num_heads + head) * rank;
  const float* q_pe =
      attention.q_pe + token * attention.q_token_stride + head * attention.q_head_stride;

  // 1. Scores, a thread for each position.
  float highest = -INFINITY;
  for (int64_t s = begin + threadIdx.x; s < end; s += kThreads) {
    const std::byte* row = row_of(s);
    float score = 0;
    for (int64_t i = 0; i < cache.row_width; ++i) {
      score += (i < rank ? absorbed[i] : q_pe[i - rank]) * LatentElement(cache, row, i);
    }
    score *= attention.softmax_scale;
    scores[s - begin] = score;
    highest = fmaxf(highest, score);
  }
  highest = WarpMax(highest);
  if (threadIdx.x % kWarpSize == 0) {
    warp_maxima[threadIdx.x / kWarpSize] = highest;
  }
  __syncthreads();
  for (int warp = 0; warp < kWarps; ++warp) {
    highest = fmaxf(highest, warp_maxima[warp]);
  }

  // 2. Weights.
  float sum = 0;
  for (int64_t i = threadIdx.x; i < end - begin; i += kThreads) {
    scores[i] = expf(scores[i] - highest);
    sum += scores[i];
  }
  sum = BlockSum(sum, warp_maxima + kWarps);  // its barrier makes the weights visible, too

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

unsigned BlocksFor(int64_t count, int64_t of_a_block) {
  return static_cast<unsigned>((count + of_a_block - 1) / of_a_block);
}

}  // namespace

void AttendSimply(const Attention& attention) {
  const dim3 grid(static_cast<unsigned>(attention.num_tokens),
                  static_cast<unsigned>(attention.num_heads),
                  static_cast<unsigned>(attention.num_parts));
  Launch("attend_part",
         AttendPart,
         {.grid = grid,
          .threads = kThreads,
          .shared_bytes = (kPartPositions + 2 * kWarps) * sizeof(float)},
         attention);
}

void AbsorbSimply(const KvUp& up,
                  const TensorView<const float, 3>& q_nope,
                  const TensorView<float, 3>& absorbed) {
  Launch("absorb_queries",
         AbsorbQueries,
         {.grid = BlocksFor(absorbed.num_elements(), kThreads), .threads = kThreads},
         up,
         RowsOf(q_nope),
         RowsOf(absorbed),
         absorbed.extent(1),
         absorbed.num_elements());
}

void ProjectSimply(const KvUp& up,
                   const TensorView<const float, 3>& latents,
                   const TensorView<float, 3>& out) {
  Launch("project_values",
         ProjectValues,
         {.grid = BlocksFor(out.num_elements(), kWarps), .threads = kThreads},
         up,
         RowsOf(latents),
         RowsOf(out),
         out.extent(1),
         out.num_elements());
}

}  // namespace hadal::cuda
