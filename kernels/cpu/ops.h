#pragma once

#include "kernels/cpu/vector_kernels.h"
#include "kernels/execution_context.h"
#include "kernels/kernel_table.h"

// The ops of the CPU back end: work is cut into items for the thread pool, and the inner loops are
// those of the instruction set that `vector` stands for.

namespace hadal::cpu {

void Embedding(const VectorKernels& vector, const EmbeddingArgs& args, ExecutionContext& context);
void RmsNorm(const VectorKernels& vector, const RmsNormArgs& args, ExecutionContext& context);
void Linear(const VectorKernels& vector, const LinearArgs& args, ExecutionContext& context);
void Mlp(const VectorKernels& vector, const MlpArgs& args, ExecutionContext& context);
void MlaProject(const VectorKernels& vector, const MlaProjectArgs& args, ExecutionContext& context);
void MlaAttention(const VectorKernels& vector,
                  const MlaAttentionArgs& args,
                  ExecutionContext& context);
void MoeRoute(const VectorKernels& vector, const MoeRouteArgs& args, ExecutionContext& context);
void MoeExperts(const VectorKernels& vector, const MoeExpertsArgs& args, ExecutionContext& context);
void GatherRows(const VectorKernels& vector, const GatherRowsArgs& args, ExecutionContext& context);
void CheckFinite(const VectorKernels& vector,
                 const CheckFiniteArgs& args,
                 ExecutionContext& context);
void Sample(const VectorKernels& vector, const SampleArgs& args, ExecutionContext& context);

}  // namespace hadal::cpu
