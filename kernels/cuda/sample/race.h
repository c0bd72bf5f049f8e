#pragma once

// The race of kernels/sample/race.h by a block: first one arrival of each strip, whose earliest
// rules out nearly all others, then those that are left.

#include "kernels/cuda/sample/row.h"

namespace hadal::cuda {

struct Arrival {
  double time = DBL_MAX;
  int32_t token = INT_MAX;
};

/// Shared memory of a block that races.
struct RaceScratch {
  Arrival of_warps[kRowWarps];
};

__device__ __forceinline__ Arrival Earlier(const Arrival& a, const Arrival& b) {
  return b.time < a.time || (b.time == a.time && b.token < a.token) ? b : a;
}

__device__ __forceinline__ Arrival EarliestOfWarp(Arrival mine) {
  for (int lanes = kWarpSize / 2; lanes > 0; lanes /= 2) {
    mine = Earlier(mine,
                   {__shfl_xor_sync(kAllLanes, mine.time, lanes),
                    __shfl_xor_sync(kAllLanes, mine.token, lanes)});
  }
  return mine;
}

/// The earliest of the block, in every thread.
__device__ __forceinline__ Arrival EarliestOfBlock(Arrival mine, RaceScratch& scratch) {
  mine = EarliestOfWarp(mine);
  __syncthreads();
  if (LaneId() == 0) {
    scratch.of_warps[WarpId()] = mine;
  }
  __syncthreads();
  return EarliestOfWarp(scratch.of_warps[LaneId()]);
}

/// What may be drawn: what a cut keeps, of this weight at least.
struct Draw {
  Cut cut;
  float least;  // >= 0

  __device__ __forceinline__ bool Takes(float weight, int32_t token) const {
    return weight > 0 && weight >= least && cut.Keeps(weight, token);
  }
  /// Whether some token of a strip may be drawn, as far as its heaviest tells.
  __device__ __forceinline__ bool TakesStrip(float heaviest) const {
    return heaviest > 0 && heaviest >= least && heaviest >= cut.weight;
  }
};

/// The winner among what may be drawn; `best` is a token of weight 1, which mostly may. All threads
/// call this.
__device__ inline int32_t FindWinner(
    const NoiseBits& noise, const Row& row, const Draw& draw, int32_t best, RaceScratch& scratch) {
  // 1. The token of least noise in each strip, where it may be drawn.
  Arrival first;
  for (auto strip = static_cast<int32_t>(threadIdx.x); strip < row.num_strips;
       strip += kRowThreads) {
    const uint64_t bits = noise.OfStrip(static_cast<size_t>(strip));
    const int32_t token =
        strip * static_cast<int32_t>(kStripTokens) + static_cast<int32_t>(QuietestToken(bits));
    if (!draw.TakesStrip(row.heaviest[strip]) || token >= row.vocab_size) {
      continue;
    }
    const float weight = row.WeightOf(token);
    if (draw.Takes(weight, token)) {
      first = Earlier(first, {LeastNoise(bits) / static_cast<double>(weight), token});
    }
  }
  if (threadIdx.x == 0 && draw.Takes(1, best)) {  // else an equal of a lower id may
    const uint64_t bits = noise.OfStrip(static_cast<size_t>(best) / kStripTokens);
    const bool is_quietest = static_cast<size_t>(best) % kStripTokens == QuietestToken(bits);
    const double own = ExponentialOf(noise.OfToken(static_cast<size_t>(best)));
    first = Earlier(first, {LeastNoise(bits) + (is_quietest ? 0 : own), best});
  }
  first = EarliestOfBlock(first, scratch);

  // 2. All tokens that may come earlier, strip by strip.
  const double limit = first.time * kArrivalRounding;
  for (int32_t begin = WarpId() * kWarpSize; begin < row.num_strips; begin += kRowThreads) {
    const int32_t mine = begin + LaneId();
    bool may_win = false;
    if (mine < row.num_strips && draw.TakesStrip(row.heaviest[mine])) {
      const uint64_t bits = noise.OfStrip(static_cast<size_t>(mine));
      const double latest = limit * static_cast<double>(row.heaviest[mine]);
      // -log(u) >= 1 - u spares most of them the logarithm.
      may_win = (1 - UniformOf(bits)) / static_cast<double>(kStripTokens) <= latest &&
                LeastNoise(bits) <= latest;
    }
    for (uint32_t left = __ballot_sync(kAllLanes, may_win); left != 0; left &= left - 1) {
      const int32_t strip = begin + __ffs(left) - 1;
      const uint64_t bits = noise.OfStrip(static_cast<size_t>(strip));
      const double least = LeastNoise(bits);
      row.VisitStrip(strip, [&](float weight, int32_t token) {
        if (!draw.Takes(weight, token) || least > limit * static_cast<double>(weight)) {
          return;
        }
        const auto id = static_cast<size_t>(token);
        const double own =
            id % kStripTokens == QuietestToken(bits) ? 0 : ExponentialOf(noise.OfToken(id));
        first = Earlier(first, {(least + own) / static_cast<double>(weight), token});
      });
    }
  }
  return EarliestOfBlock(first, scratch).token;
}

}  // namespace hadal::cuda
