#include "kernels/cpu/table.h"

#include "base/check.h"
#include "kernels/cpu/ops.h"

namespace hadal::cpu {
namespace {

// An op of ops.h bound to one instruction set, as the plain function that a Kernel holds.
template <Isa kIsa, auto kOp, typename Args>
void Run(const Args& args, ExecutionContext& context) {
  kOp(VectorKernelsOf(kIsa), args, context);
}

template <Isa kIsa>
KernelTable MakeTableFor(const char* name) {
  return {.embedding = {name, &Run<kIsa, &Embedding, EmbeddingArgs>},
          .rms_norm = {name, &Run<kIsa, &RmsNorm, RmsNormArgs>},
          .linear = {name, &Run<kIsa, &Linear, LinearArgs>},
          .mlp = {name, &Run<kIsa, &Mlp, MlpArgs>},
          .mla_project = {name, &Run<kIsa, &MlaProject, MlaProjectArgs>},
          .mla_attention = {name, &Run<kIsa, &MlaAttention, MlaAttentionArgs>},
          .moe_route = {name, &Run<kIsa, &MoeRoute, MoeRouteArgs>},
          .moe_experts = {name, &Run<kIsa, &MoeExperts, MoeExpertsArgs>},
          .gather_rows = {name, &Run<kIsa, &GatherRows, GatherRowsArgs>},
          .check_finite = {name, &Run<kIsa, &CheckFinite, CheckFiniteArgs>},
          .sample = {name, &Run<kIsa, &Sample, SampleArgs>}};
}

}  // namespace

KernelTable MakeTable(Isa isa) {
  switch (isa) {
    case Isa::kPortable:
      return MakeTableFor<Isa::kPortable>("cpu-portable");
    case Isa::kAvx2:
      return MakeTableFor<Isa::kAvx2>("cpu-avx2");
    case Isa::kAvx512:
      return MakeTableFor<Isa::kAvx512>("cpu-avx512");
    case Isa::kAmx:
      return MakeTableFor<Isa::kAmx>("cpu-amx");
  }
  CHECK(false);
}

}  // namespace hadal::cpu
