// Bound by one pass over the logits, which all of the chip reads; choosing then looks at the
// highest of each strip and at few tokens, but for top_p, whose block goes over its row once more.

#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/scratch.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/sample/cut.h"
#include "kernels/cuda/sample/race.h"
#include "kernels/sample.h"
#include "kernels/sample/portable_math.h"

namespace hadal::cuda {
namespace {

constexpr int kScanThreads = 256;
constexpr int32_t kStripsPerWarp = 4;
constexpr int32_t kStripsPerBlock = kScanThreads / kWarpSize * kStripsPerWarp;

struct Logits {
  const float* data;
  int64_t stride;
  int32_t vocab_size;
  int32_t num_strips;
  float* strip_highest;  // [num_rows, num_strips] the highest of each strip, -infinity if none
};

// Blocks along y share a row; a warp reads some strips at once.
__global__ void __launch_bounds__(kScanThreads) FindStripHighest(Logits logits) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  const float* row = logits.data + blockIdx.x * logits.stride;
  const int32_t begin =
      static_cast<int32_t>(blockIdx.y) * kStripsPerBlock + WarpId() * kStripsPerWarp;
  float highest[kStripsPerWarp];
#pragma unroll
  for (int32_t i = 0; i < kStripsPerWarp; ++i) {
    const int32_t first = (begin + i) * static_cast<int32_t>(kStripTokens) + LaneId();
    const int32_t second = first + kWarpSize;
    highest[i] = fmaxf(first < logits.vocab_size ? row[first] : -INFINITY,
                       second < logits.vocab_size ? row[second] : -INFINITY);
  }
#pragma unroll
  for (int32_t i = 0; i < kStripsPerWarp; ++i) {
    const float of_strip = fmaxf(WarpMax(highest[i]), -INFINITY);  // not NaN
    if (LaneId() == 0 && begin + i < logits.num_strips) {
      logits.strip_highest[int64_t{blockIdx.x} * logits.num_strips + begin + i] = of_strip;
    }
  }
}

struct Choices {
  Logits logits;
  const SampleChoice* choices;
  TokenId* token_ids;
};

// What a block shares: the weights of strips' heaviest tokens lie behind it.
struct Shared {
  CutScratch cut;
  RaceScratch race;
  float highest[kRowWarps];
  int32_t strip[kRowWarps];
};

struct Highest {
  float logit;
  int32_t strip;  // the first that has it
};

__device__ __forceinline__ Highest Higher(const Highest& a, const Highest& b) {
  return b.logit > a.logit || (b.logit == a.logit && b.strip < a.strip) ? b : a;
}

__device__ __forceinline__ Highest HighestOfWarp(Highest mine) {
  for (int lanes = kWarpSize / 2; lanes > 0; lanes /= 2) {
    mine = Higher(mine,
                  {__shfl_xor_sync(kAllLanes, mine.logit, lanes),
                   __shfl_xor_sync(kAllLanes, mine.strip, lanes)});
  }
  return mine;
}

__device__ Highest HighestOfRow(const float* strip_highest, int32_t num_strips, Shared& shared) {
  Highest mine = {-INFINITY, INT_MAX};
  for (auto i = static_cast<int32_t>(threadIdx.x); i < num_strips; i += kRowThreads) {
    mine = Higher(mine, {strip_highest[i], i});
  }
  mine = HighestOfWarp(mine);
  if (LaneId() == 0) {
    shared.highest[WarpId()] = mine.logit;
    shared.strip[WarpId()] = mine.strip;
  }
  __syncthreads();
  return HighestOfWarp({shared.highest[LaneId()], shared.strip[LaneId()]});
}

// The first token of a strip that has this logit, in every lane; one has it.
__device__ __forceinline__ TokenId FirstToken(const Logits& logits,
                                              const float* row,
                                              const Highest& highest) {
  const int32_t begin = highest.strip * static_cast<int32_t>(kStripTokens);
  const int32_t first = begin + LaneId();
  const int32_t second = first + kWarpSize;
  const uint32_t low =
      __ballot_sync(kAllLanes, first < logits.vocab_size && row[first] == highest.logit);
  const uint32_t high =
      __ballot_sync(kAllLanes, second < logits.vocab_size && row[second] == highest.logit);
  return begin + (low != 0 ? __ffs(low) - 1 : kWarpSize + __ffs(high) - 1);
}

// A block for each choice.
__global__ void __launch_bounds__(kRowThreads) ChooseTokens(Choices args) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  const Logits& logits = args.logits;
  const SampleChoice choice = args.choices[blockIdx.x];
  const float* row_logits = logits.data + choice.row * logits.stride;
  const float* strip_highest = logits.strip_highest + choice.row * logits.num_strips;
  auto& shared = *reinterpret_cast<Shared*>(DynamicShared());
  auto* heaviest = reinterpret_cast<float*>(DynamicShared() + sizeof(Shared));

  // 1. The best token.
  const Highest highest = HighestOfRow(strip_highest, logits.num_strips, shared);
  TokenId token = kNoToken;
  const bool is_finite = isfinite(highest.logit);
  if (is_finite) {
    token = FirstToken(logits, row_logits, highest);
  }

  // 2. A draw.
  if (is_finite && choice.temperature != 0) {
    const float scale = ScaleOf(choice.temperature);
    for (auto i = static_cast<int32_t>(threadIdx.x); i < logits.num_strips; i += kRowThreads) {
      heaviest[i] = ExactExp(strip_highest[i], highest.logit, scale);
    }
    __syncthreads();
    const Row row = {.logits = row_logits,
                     .heaviest = heaviest,
                     .vocab_size = logits.vocab_size,
                     .num_strips = logits.num_strips,
                     .highest = highest.logit,
                     .scale = scale};
    Cut cut;
    if (choice.top_k > 0 && choice.top_k < logits.vocab_size) {
      cut = CutTopK(choice.top_k, row, shared.cut);
    }
    if (choice.top_p < 1) {
      const Goal goal = {.measure = Measure::kMass, .count = 0, .top_p = choice.top_p};
      cut = CutTo(goal, row, cut, shared.cut);
    }
    const NoiseBits noise(choice.seed, choice.position);
    token = FindWinner(noise, row, {.cut = cut, .least = choice.min_p}, token, shared.race);
  }
  if (threadIdx.x == 0) {
    args.token_ids[blockIdx.x] = token;
  }
}

}  // namespace

void Sample(const SampleArgs& args, ExecutionContext& context) {
  Scratch scratch(context);
  const int64_t num_rows = args.logits.extent(0);
  const auto num_strips =
      static_cast<int32_t>(NumStrips(static_cast<size_t>(args.logits.extent(1))));
  const Logits logits = {.data = args.logits.data,
                         .stride = args.logits.strides[0],
                         .vocab_size = static_cast<int32_t>(args.logits.extent(1)),
                         .num_strips = num_strips,
                         .strip_highest = scratch.Allocate<float>(num_rows * num_strips)};
  const int32_t blocks_per_row = (num_strips + kStripsPerBlock - 1) / kStripsPerBlock;
  Launch("sample: highest of strips",
         FindStripHighest,
         {.grid = dim3(static_cast<unsigned>(num_rows), static_cast<unsigned>(blocks_per_row)),
          .threads = kScanThreads},
         logits);
  Launch("sample",
         ChooseTokens,
         {.grid = dim3(static_cast<unsigned>(args.choices.extent(0))),
          .threads = kRowThreads,
          .shared_bytes = sizeof(Shared) + static_cast<size_t>(num_strips) * sizeof(float)},
         {.logits = logits, .choices = args.choices.data, .token_ids = args.token_ids.data});
}

}  // namespace hadal::cuda
