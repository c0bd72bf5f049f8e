#include "kernels/cuda/table.h"

#include "kernels/cuda/device/memory.h"
#include "kernels/cuda/ops.h"

namespace hadal::cuda {

absl::StatusOr<KernelTable> MakeTable() {
  RETURN_IF_ERROR(CheckGpu());
  constexpr const char* kName = "cuda";
  return KernelTable{.embedding = {kName, &Embedding},
                     .rms_norm = {kName, &RmsNorm},
                     .linear = {kName, &Linear},
                     .mlp = {kName, &Mlp},
                     .mla_project = {kName, &MlaProject},
                     .mla_attention = {kName, &MlaAttention},
                     .moe_route = {kName, &MoeRoute},
                     .moe_experts = {kName, &MoeExperts},
                     .gather_rows = {kName, &GatherRows},
                     .check_finite = {kName, &CheckFinite},
                     .sample = {kName, &Sample},
                     .device = &GpuDevice(),
                     .is_recordable = true};
}

}  // namespace hadal::cuda
