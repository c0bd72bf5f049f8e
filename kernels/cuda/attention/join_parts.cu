#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/attention/plan.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"

namespace hadal::cuda {
namespace {

constexpr int kThreads = 128;

// A thread for each element of [num_tokens, num_heads, kv_lora_rank].
__global__ void __launch_bounds__(kThreads) Join(Attention attention, float* latents) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  const int64_t rank = attention.cache.kv_lora_rank;
  const int64_t index = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const int64_t row = index / rank;
  if (row >= attention.num_tokens * attention.num_heads) {
    return;
  }
  const int64_t num_parts = attention.positions[row / attention.num_heads] / kPartPositions + 1;
  const float* highest = attention.highest + row * attention.num_parts;
  const float* sums = attention.sums + row * attention.num_parts;
  const float* part_latents = attention.latents + row * attention.num_parts * rank + index % rank;
  float top = -INFINITY;
  for (int64_t part = 0; part < num_parts; ++part) {
    top = fmaxf(top, highest[part]);
  }
  float sum = 0;
  float latent = 0;
  for (int64_t part = 0; part < num_parts; ++part) {
    const float factor = expf(highest[part] - top);
    sum = fmaf(sums[part], factor, sum);
    latent = fmaf(part_latents[part * rank], factor, latent);
  }
  latents[index] = latent / sum;
}

}  // namespace

void JoinParts(const Attention& attention, float* latents) {
  const int64_t size = attention.num_tokens * attention.num_heads * attention.cache.kv_lora_rank;
  const dim3 blocks(static_cast<unsigned>((size + kThreads - 1) / kThreads));
  Launch("join_parts", Join, {.grid = blocks, .threads = kThreads}, attention, latents);
}

}  // namespace hadal::cuda
