#pragma once

// The inputs of a block of attention/head_products.cu: rows as they are given, or sums of latents
// whose parts it joins itself, with the bits of JoinParts.

#include <cstddef>
#include <cstdint>
#include <cuda_runtime.h>

#include "kernels/cuda/attention/plan.h"
#include "kernels/cuda/attention/swizzle.h"
#include "kernels/cuda/device/warp.h"

namespace hadal::cuda {

inline constexpr int kHeadTokens = 16;  // of a block

struct HeadInput {
  const float* x;  // [num_tokens, num_heads, inner]; or parts [num_tokens, num_heads, ., inner]
  int64_t token_stride;
  int64_t head_stride;
  int64_t num_tokens;
  int64_t num_parts = 0;  // of rows in parts, up to kMostJoinedParts, with these as in Attention:
  const float* highest = nullptr;
  const float* sums = nullptr;
  const int32_t* positions = nullptr;
};

/// What joins the parts of the block's tokens, in shared memory.
struct PartFactors {
  float factors[kHeadTokens][kMostJoinedParts];
  float sums[kHeadTokens][kMostJoinedParts];
  int num_parts[kHeadTokens];
};

/// Fills `shared` for head blockIdx.y, by all kThreads threads. A barrier makes it visible.
template <int kThreads>
__device__ __forceinline__ void FindPartFactors(const HeadInput& input, PartFactors& shared) {
  constexpr int kWarps = kThreads / kWarpSize;
  constexpr int kEach = kHeadTokens / kWarps;
  static_assert(kMostJoinedParts == kWarpSize);
  const auto lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const auto warp = static_cast<int>(threadIdx.x) / kWarpSize;
  // All loads at once: what lies behind the parts of a shorter context is read and left out.
  float highest[kEach];
  float sums[kEach];
  int counts[kEach];
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const int64_t token = int64_t{blockIdx.z} * kHeadTokens + warp + i * kWarps;
    const bool is_there = token < input.num_tokens;
    const int64_t part = (token * gridDim.y + blockIdx.y) * input.num_parts + lane;
    counts[i] = is_there ? input.positions[token] / static_cast<int>(kPartPositions) + 1 : 0;
    highest[i] = is_there && lane < input.num_parts ? input.highest[part] : 0.0F;
    sums[i] = is_there && lane < input.num_parts ? input.sums[part] : 0.0F;
  }
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const int token = warp + i * kWarps;
    const float top = WarpMax(lane < counts[i] ? highest[i] : -INFINITY);
    shared.factors[token][lane] = expf(highest[i] - top);
    shared.sums[token][lane] = sums[i];
    if (lane == 0) {
      shared.num_parts[token] = counts[i];
    }
  }
}

/// Columns 0 and kDistance of a row whose parts, `inner` columns each, begin at `x`.
template <int kDistance>
__device__ __forceinline__ float2
JoinPair(const PartFactors& shared, int token, const float* x, int inner) {
  float sum = 0;
  float2 latent = make_float2(0, 0);
  const int num_parts = shared.num_parts[token];
  for (int part = 0; part < num_parts; ++part) {
    const float factor = shared.factors[token][part];
    sum = fmaf(shared.sums[token][part], factor, sum);
    latent.x = fmaf(x[part * inner], factor, latent.x);
    latent.y = fmaf(x[part * inner + kDistance], factor, latent.y);
  }
  return make_float2(latent.x / sum, latent.y / sum);
}

/// The block's inputs in two parts [2 * kHeadTokens, inner], swizzled, zeros behind the last token,
/// columns in the order that Tile wants. `factors` is for parts, null else.
template <typename Tile, int kThreads>
__device__ __forceinline__ void SplitTokens(const HeadInput& input,
                                            int inner,
                                            const PartFactors* factors,
                                            std::byte* shared_x) {
  const int64_t first = int64_t{blockIdx.z} * kHeadTokens;
  for (int i = static_cast<int>(threadIdx.x) * 2; i < kHeadTokens * inner; i += kThreads * 2) {
    const int token = i / inner;
    const int slot = i % inner;
    float2 pair = make_float2(0, 0);
    if (first + token < input.num_tokens) {
      const float* x = input.x + (first + token) * input.token_stride +
                       blockIdx.y * input.head_stride + Tile::InnerOf(slot);
      pair = factors == nullptr ? make_float2(x[0], x[Tile::kPairDistance])
                                : JoinPair<Tile::kPairDistance>(*factors, token, x, inner);
    }
    const SplitPair split = Split(pair.x, pair.y);
    const auto place = [&](int row) {
      std::byte* chunk = SwizzledChunk(shared_x, inner * 2, row, slot / 8);
      return reinterpret_cast<uint32_t*>(chunk + slot % 8 * 2);
    };
    *place(token) = split.high;
    *place(kHeadTokens + token) = split.low;
  }
}

}  // namespace hadal::cuda
