#include <cfloat>

#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/scratch.h"
#include "kernels/cuda/device/warp.h"
#include "kernels/cuda/ops.h"
#include "kernels/moe_route.h"

namespace hadal::cuda {
namespace {

struct Gate {
  const float* logits;  // [num_tokens, num_experts]
  const float* bias;    // [num_experts] with kNoauxTc
  ScoringFunc scoring_func;
  TopkMethod topk_method;
  int32_t num_experts;
  int32_t n_group;
  int32_t topk_group;
  int32_t num_experts_per_tok;
  bool norm_topk_prob;
  float routed_scaling_factor;
  int32_t* expert_ids;
  int64_t ids_stride;
  float* weights;
  int64_t weights_stride;
};

// The lane's best of values[0, count), those at lane, lane + 32, …; the warp's best, ties to the
// lower index, in every lane. Values are never NaN.
struct Best {
  float value;
  int32_t index;
};

__device__ __forceinline__ bool IsBetter(const Best& a, const Best& b) {
  return a.value > b.value || (a.value == b.value && a.index < b.index);
}

__device__ Best WarpBest(const float* values, int32_t count) {
  Best best = {-INFINITY, INT32_MAX};
  for (auto i = static_cast<int32_t>(threadIdx.x); i < count; i += kWarpSize) {
    const Best other = {values[i], i};
    best = IsBetter(other, best) ? other : best;
  }
  for (int lanes = kWarpSize / 2; lanes > 0; lanes /= 2) {
    const Best other = {__shfl_xor_sync(kAllLanes, best.value, lanes),
                        __shfl_xor_sync(kAllLanes, best.index, lanes)};
    best = IsBetter(other, best) ? other : best;
  }
  return best;
}

// Takes entry `index` out of the running; what was -infinity before was out already.
__device__ __forceinline__ void Remove(float* values, int32_t index) {
  __syncwarp();
  if (threadIdx.x == 0) {
    values[index] = -INFINITY;
  }
  __syncwarp();
}

__device__ void ComputeScores(const Gate& gate, const float* logits, float* scores) {
  const int32_t n = gate.num_experts;
  const auto lane = static_cast<int32_t>(threadIdx.x);
  if (gate.scoring_func == ScoringFunc::kSigmoid) {
    for (int32_t i = lane; i < n; i += kWarpSize) {
      scores[i] = 1.0F / (1.0F + expf(-logits[i]));
    }
    return;
  }
  float highest = -INFINITY;
  bool is_broken = false;
  for (int32_t i = lane; i < n; i += kWarpSize) {
    highest = fmaxf(highest, logits[i]);
    is_broken = is_broken || isnan(logits[i]);
  }
  highest = WarpMax(highest);
  if (__ballot_sync(kAllLanes, is_broken) != 0) {
    highest = NAN;
  }
  float sum = 0;
  for (int32_t i = lane; i < n; i += kWarpSize) {
    scores[i] = expf(logits[i] - highest);
    sum += scores[i];
  }
  sum = WarpSum(sum);
  for (int32_t i = lane; i < n; i += kWarpSize) {
    scores[i] /= sum;
  }
}

// Sets the choice of all experts outside the best topk_group groups to -infinity.
__device__ void MaskGroups(const Gate& gate, float* choice, float* group_scores) {
  const int32_t group_size = gate.num_experts / gate.n_group;
  for (auto g = static_cast<int32_t>(threadIdx.x); g < gate.n_group; g += kWarpSize) {
    float highest = -INFINITY;
    float second = -INFINITY;
    for (int32_t i = g * group_size; i < (g + 1) * group_size; ++i) {
      second = fmaxf(second, fminf(choice[i], highest));
      highest = fmaxf(highest, choice[i]);
    }
    const bool adds = gate.topk_method == TopkMethod::kNoauxTc && group_size > 1;
    group_scores[g] = adds ? highest + second : highest;
  }
  __syncwarp();
  // Bit g of what lane g / 32 holds: group g stays.
  uint32_t kept = 0;
  for (int32_t k = 0; k < gate.topk_group; ++k) {
    const Best best = WarpBest(group_scores, gate.n_group);
    if (best.index / kWarpSize == static_cast<int32_t>(threadIdx.x)) {
      kept |= 1U << static_cast<uint32_t>(best.index % kWarpSize);
    }
    Remove(group_scores, best.index);
  }
  for (int32_t g = 0; g < gate.n_group; ++g) {
    if ((__shfl_sync(kAllLanes, kept, g / kWarpSize) >> static_cast<uint32_t>(g % kWarpSize) &
         1U) != 0) {
      continue;
    }
    for (int32_t i = g * group_size + static_cast<int32_t>(threadIdx.x); i < (g + 1) * group_size;
         i += kWarpSize) {
      choice[i] = -INFINITY;
    }
  }
  __syncwarp();
}

// A block of one warp for each token. Shared: scores and choice of each expert, scores of groups.
__global__ void __launch_bounds__(kWarpSize) ChooseExperts(Gate gate) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  const int64_t token = blockIdx.x;
  const int32_t n = gate.num_experts;
  const auto lane = static_cast<int32_t>(threadIdx.x);
  auto* scores = reinterpret_cast<float*>(DynamicShared());
  float* choice = scores + n;
  float* group_scores = choice + n;

  ComputeScores(gate, gate.logits + token * n, scores);
  for (int32_t i = lane; i < n; i += kWarpSize) {
    const float value =
        gate.topk_method == TopkMethod::kNoauxTc ? scores[i] + gate.bias[i] : scores[i];
    choice[i] = isnan(value) ? -FLT_MAX : value;
  }
  __syncwarp();
  if (gate.topk_method != TopkMethod::kGreedy && gate.n_group > 1) {
    MaskGroups(gate, choice, group_scores);
  }
  float sum = 0;
  for (int32_t k = 0; k < gate.num_experts_per_tok; ++k) {
    const Best best = WarpBest(choice, n);
    sum += scores[best.index];
    if (lane == 0) {
      gate.expert_ids[token * gate.ids_stride + k] = best.index;
    }
    Remove(choice, best.index);
  }
  float factor = gate.routed_scaling_factor;
  if (gate.norm_topk_prob) {
    factor = (gate.scoring_func == ScoringFunc::kSigmoid ? factor : 1.0F) / (sum + 1e-20F);
  }
  if (lane == 0) {
    for (int32_t k = 0; k < gate.num_experts_per_tok; ++k) {
      const int32_t expert = gate.expert_ids[token * gate.ids_stride + k];
      gate.weights[token * gate.weights_stride + k] = scores[expert] * factor;
    }
  }
}

}  // namespace

void MoeRoute(const MoeRouteArgs& args, ExecutionContext& context) {
  Scratch scratch(context);
  const int64_t num_tokens = args.x.extent(0);
  const int64_t num_experts = args.gate.rows;
  const auto logits =
      MakeView(scratch.Allocate<float>(num_tokens * num_experts), num_tokens, num_experts);
  Linear({.x = args.x, .weight = args.gate, .output = Output::kStore, .y = logits}, context);
  Launch("moe_route",
         ChooseExperts,
         {.grid = dim3(static_cast<unsigned>(num_tokens)),
          .threads = kWarpSize,
          .shared_bytes = static_cast<size_t>(2 * num_experts + args.n_group) * sizeof(float)},
         {.logits = logits.data,
          .bias = args.e_score_correction_bias.data,
          .scoring_func = args.scoring_func,
          .topk_method = args.topk_method,
          .num_experts = static_cast<int32_t>(num_experts),
          .n_group = static_cast<int32_t>(args.n_group),
          .topk_group = static_cast<int32_t>(args.topk_group),
          .num_experts_per_tok = static_cast<int32_t>(args.expert_ids.extent(1)),
          .norm_topk_prob = args.norm_topk_prob,
          .routed_scaling_factor = args.routed_scaling_factor,
          .expert_ids = args.expert_ids.data,
          .ids_stride = args.expert_ids.strides[0],
          .weights = args.weights.data,
          .weights_stride = args.weights.strides[0]});
}

}  // namespace hadal::cuda
