#pragma once

// Where top_k and top_p cut a row's tokens, by a block.

#include "kernels/cuda/sample/weight_search.h"

namespace hadal::cuda {

/// The token that is number `n`, from 1 on, among those of this weight. All threads call this.
__device__ inline int32_t FindEqual(const Row& row, float weight, Total n, CutScratch& scratch) {
  const int32_t strips_per_warp = (row.num_strips + kRowWarps - 1) / kRowWarps;
  const int32_t begin = min(WarpId() * strips_per_warp, row.num_strips);
  const int32_t end = min(begin + strips_per_warp, row.num_strips);
  // Twice: to count the warp's, and to look for the one in the warp that has it.
  const auto visit_equals = [&](auto visit) {
    for (int32_t strip = begin; strip < end; ++strip) {
      if (row.heaviest[strip] >= weight) {
        row.VisitStrip(strip, [&](float token_weight, int32_t token) {
          visit(__ballot_sync(kAllLanes, token_weight == weight), token - LaneId());
        });
      }
    }
  };
  Total count = 0;
  visit_equals([&](uint32_t equals, int32_t) { count += static_cast<Total>(__popc(equals)); });
  if (LaneId() == 0) {
    scratch.of_warps[WarpId()] = count;
  }
  __syncthreads();
  const Total up_to_warp = SumUpTo(scratch.of_warps[LaneId()]);
  if (FirstLaneWith(up_to_warp, n) == WarpId()) {
    Total left = n - (__shfl_sync(kAllLanes, up_to_warp, WarpId()) - count);
    visit_equals([&](uint32_t equals, int32_t first_token) {
      const uint32_t up_to_lane = equals & (kAllLanes >> (kWarpSize - 1 - LaneId()));
      if ((equals >> LaneId() & 1U) != 0 && static_cast<Total>(__popc(up_to_lane)) == left) {
        scratch.token = first_token + LaneId();
      }
      left -= static_cast<Total>(__popc(equals));  // once it is found, none has number `left`
    });
  }
  __syncthreads();
  return scratch.token;
}

/// A cut of what `cut` keeps. All threads call this.
__device__ inline Cut CutTo(const Goal& goal, const Row& row, const Cut& cut, CutScratch& scratch) {
  const Found found = FindWeight(goal, scratch, [&](float least, auto visit) {
    row.VisitTokens(max(least, cut.weight), [&](float weight, int32_t token) {
      visit(cut.Keeps(weight, token) ? weight : 0);
    });
  });
  if (found.num_kept < found.num_equal) {
    return {found.weight, FindEqual(row, found.weight, found.num_kept, scratch)};
  }
  return {found.weight, found.weight == cut.weight ? cut.last_token : INT_MAX};
}

/// The heaviest `top_k` of what has a weight. As many strips have a token of a certain weight at
/// least, so that lighter ones are out; and with few such strips little is left to look at.
__device__ inline Cut CutTopK(int32_t top_k, const Row& row, CutScratch& scratch) {
  const Goal goal = {.measure = Measure::kCount, .count = static_cast<Total>(top_k), .top_p = 1};
  Cut cut;
  if (top_k <= row.num_strips) {
    const Found strips = FindWeight(goal, scratch, [&](float, auto visit) {
      for (auto i = static_cast<int32_t>(threadIdx.x); i < row.num_strips; i += kRowThreads) {
        visit(row.heaviest[i]);
      }
    });
    cut.weight = strips.all < goal.count ? 0 : strips.weight;
  }
  return CutTo(goal, row, cut, scratch);
}

}  // namespace hadal::cuda
