#pragma once

#include "kernels/execution_context.h"
#include "kernels/kernel_table.h"

// The readable definition of every op: plain loops, no threads, no tricks. Dot products and softmax
// of attention are summed in double, router scores and the sum over experts in float. All other
// implementations are tested against these, and a failing one is replaced by them.

namespace hadal::reference {

void Embedding(const EmbeddingArgs& args, ExecutionContext& context);
void RmsNorm(const RmsNormArgs& args, ExecutionContext& context);
void Linear(const LinearArgs& args, ExecutionContext& context);
void Mlp(const MlpArgs& args, ExecutionContext& context);
void MlaProject(const MlaProjectArgs& args, ExecutionContext& context);
void MlaAttention(const MlaAttentionArgs& args, ExecutionContext& context);
void MoeRoute(const MoeRouteArgs& args, ExecutionContext& context);
void MoeExperts(const MoeExpertsArgs& args, ExecutionContext& context);
void GatherRows(const GatherRowsArgs& args, ExecutionContext& context);
void CheckFinite(const CheckFiniteArgs& args, ExecutionContext& context);
void Sample(const SampleArgs& args, ExecutionContext& context);

/// What ChooseExperts works in; each thread needs its own.
struct RouteScratch {
  TensorView<float, 1> choice;        // [n_routed_experts]
  TensorView<float, 1> group_scores;  // [n_group]
  TensorView<int32_t, 1> order;       // [max(n_routed_experts, n_group)]
};

/// For any token of `args`.
RouteScratch MakeRouteScratch(const MoeRouteArgs& args, ScratchArena& scratch);

/// One token's choice of experts from its logits; the part of MoeRoute after the product.
/// `scores` [n_routed_experts] holds the logits and is overwritten with their scores.
void ChooseExperts(const MoeRouteArgs& args,
                   int64_t token,
                   std::span<float> scores,
                   const RouteScratch& scratch);

/// The element at [slot, column] of a cache.
float CacheAt(const LatentCache& cache, int64_t slot, int64_t column);

/// The slot of `position` in a sequence with this block table.
int64_t SlotOf(const LatentCache& cache, std::span<const int32_t> block_table, int64_t position);

}  // namespace hadal::reference
