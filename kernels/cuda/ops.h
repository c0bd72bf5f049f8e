#pragma once

#include "kernels/check_finite.h"
#include "kernels/embedding.h"
#include "kernels/gather_rows.h"
#include "kernels/linear.h"
#include "kernels/mla_attention.h"
#include "kernels/mla_project.h"
#include "kernels/mlp.h"
#include "kernels/moe_experts.h"
#include "kernels/moe_route.h"
#include "kernels/rms_norm.h"
#include "kernels/sample.h"

// The ops on the GPU: they return when their kernels are launched, and take device memory alone,
// what is named in `args` by value apart. Each lies in the file of its name.

namespace hadal::cuda {

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

}  // namespace hadal::cuda
