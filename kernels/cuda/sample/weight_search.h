#pragma once

// The weight at which a count or a mass is reached: digit by digit of its bits, as
// kernels/sample/token_weights.cc finds it, by a block. Whole numbers are added in shared memory,
// so that no result depends on who comes first.

#include "kernels/cuda/sample/row.h"
#include "kernels/sample/mass.h"

namespace hadal::cuda {

using Total = unsigned long long;  // the type that atomicAdd takes

inline constexpr int32_t kNumBuckets = 2048;
static_assert(kNumBuckets == kRowWarps * 2 * kWarpSize, "a lane has two buckets");

/// Shared memory of a block that searches.
struct CutScratch {
  Total sums[kNumBuckets];  // of the tokens in a bucket
  Total of_warps[kRowWarps];
  int32_t token;
};

enum class Measure : int8_t { kCount, kMass };

/// So much of a measure is to be kept: `count` tokens, or top_p of the mass.
struct Goal {
  Measure measure;
  Total count;
  float top_p;

  __device__ __forceinline__ Total Of(float weight) const {
    return measure == Measure::kCount ? 1 : static_cast<Total>(MassOf(weight));
  }
  __device__ __forceinline__ Total Target(Total all) const {
    return measure == Measure::kCount
               ? min(count, all)
               : static_cast<Total>(MassToHold(top_p, static_cast<int64_t>(all)));
  }
};

/// The sum over this lane and those before it.
__device__ __forceinline__ Total SumUpTo(Total value) {
  for (int lanes = 1; lanes < kWarpSize; lanes *= 2) {
    const Total before = __shfl_up_sync(kAllLanes, value, static_cast<unsigned>(lanes));
    value += LaneId() >= lanes ? before : 0;
  }
  return value;
}

/// The first lane in which `sum`, which does not fall along the lanes, is `target` or more.
__device__ __forceinline__ int32_t FirstLaneWith(Total sum, Total target) {
  return __ffs(__ballot_sync(kAllLanes, sum >= target)) - 1;
}

/// A bucket, and the sums of those above it and of itself.
struct Reached {
  int32_t bucket;
  Total above;
  Total inside;
};

/// The sums of each warp's 64 buckets, the highest first, in of_warps. Returns that of all.
__device__ __forceinline__ Total SumBuckets(CutScratch& scratch) {
  const int32_t top = kNumBuckets - 1 - 2 * static_cast<int32_t>(threadIdx.x);
  const Total of_warp = SumUpTo(scratch.sums[top] + scratch.sums[top - 1]);
  if (LaneId() == kWarpSize - 1) {
    scratch.of_warps[WarpId()] = of_warp;
  }
  __syncthreads();
  return __shfl_sync(kAllLanes, SumUpTo(scratch.of_warps[LaneId()]), kWarpSize - 1);
}

/// The highest bucket that, with those above it, sums up to `target`. After SumBuckets; each warp
/// finds it for itself. REQUIRES: 0 < target <= the sum of all.
__device__ __forceinline__ Reached FindBucket(const CutScratch& scratch, Total target) {
  const Total of_warp = scratch.of_warps[LaneId()];
  const Total up_to_warp = SumUpTo(of_warp);
  const int32_t warp = FirstLaneWith(up_to_warp, target);
  const Total above_warp = __shfl_sync(kAllLanes, up_to_warp - of_warp, warp);
  const int32_t top = kNumBuckets - 1 - 2 * (warp * kWarpSize + LaneId());
  const Total pair = scratch.sums[top] + scratch.sums[top - 1];
  const Total up_to_lane = above_warp + SumUpTo(pair);
  const int32_t lane = FirstLaneWith(up_to_lane, target);
  const Total above_lane = __shfl_sync(kAllLanes, up_to_lane - pair, lane);
  const int32_t high = kNumBuckets - 1 - 2 * (warp * kWarpSize + lane);
  const Total in_high = scratch.sums[high];
  if (above_lane + in_high >= target) {
    return {high, above_lane, in_high};
  }
  return {high - 1, above_lane + in_high, scratch.sums[high - 1]};
}

/// A weight, and how many of those that have it are kept.
struct Found {
  float weight;
  Total num_kept;
  Total num_equal;
  Total all;  // the measure of all that there are
};

/// The weight at which the heaviest of some tokens reach the goal, or the lightest one.
/// visit_all(least, visit) calls visit(weight) for all of them that weigh `least` or more, and for
/// others as it likes; weights of 0 do not count. All threads call this.
template <typename VisitAll>
__device__ Found FindWeight(const Goal& goal, CutScratch& scratch, VisitAll visit_all) {
  uint32_t prefix = 0;  // of the bits of the weight
  Total above = 0;      // the sum of what is heavier than all that have the prefix
  Total all = 0;
  Total target = 0;
  Total inside = 0;
  for (int digit = 0; digit < 3; ++digit) {
    const uint32_t shift = digit == 0 ? 19 : digit == 1 ? 8 : 0;
    const uint32_t bits_below = digit == 0 ? 32 : digit == 1 ? 19 : 8;  // the prefix
    const uint32_t mask = digit == 2 ? 0xFFU : 0x7FFU;
    for (auto i = static_cast<int32_t>(threadIdx.x); i < kNumBuckets; i += kRowThreads) {
      scratch.sums[i] = 0;
    }
    __syncthreads();
    const float least = digit == 0 ? 0 : __uint_as_float(prefix << bits_below);
    visit_all(least, [&](float weight) {
      const uint32_t bits = __float_as_uint(weight);
      const Total amount = goal.Of(weight);
      if (bits != 0 && amount != 0 && (digit == 0 || bits >> bits_below == prefix)) {
        atomicAdd(&scratch.sums[bits >> shift & mask], amount);
      }
    });
    __syncthreads();
    const Total sum = SumBuckets(scratch);
    if (digit == 0) {
      all = sum;
      target = goal.Target(all);
    }
    const Reached reached = FindBucket(scratch, target - above);
    above += reached.above;
    inside = reached.inside;
    prefix = prefix << (digit == 2 ? 8U : 11U) | static_cast<uint32_t>(reached.bucket);
    __syncthreads();
  }
  const float weight = __uint_as_float(prefix);
  const Total each = goal.Of(weight);
  return {weight, (target - above + each - 1) / each, inside / each, all};
}

}  // namespace hadal::cuda
