#include "kernels/reference/table.h"

#include "kernels/reference/ops.h"

namespace hadal::reference {

KernelTable MakeTable() {
  constexpr const char* kName = "reference";
  return {.embedding = {kName, &Embedding},
          .rms_norm = {kName, &RmsNorm},
          .linear = {kName, &Linear},
          .mlp = {kName, &Mlp},
          .mla_project = {kName, &MlaProject},
          .mla_attention = {kName, &MlaAttention},
          .moe_route = {kName, &MoeRoute},
          .moe_experts = {kName, &MoeExperts},
          .gather_rows = {kName, &GatherRows},
          .check_finite = {kName, &CheckFinite},
          .sample = {kName, &Sample}};
}

}  // namespace hadal::reference
