#include "tests/support/emulated_table.h"

#include "kernels/cpu/attention/amx_lanes.h"
#include "kernels/cpu/ops.h"
#include "tests/kernels/cpu/emulated_panels.h"
#include "tests/kernels/cpu/emulated_simd.h"
#include "tests/kernels/cpu/emulated_tile_kernels.h"

namespace hadal::test {
namespace {

const cpu::VectorKernels& EmulatedKernels() {
  static const cpu::VectorKernels kKernels = [] {
    cpu::VectorKernels kernels = cpu::PortableKernels();
    kernels.name = kEmulatedTilesName;
    kernels.panels = &cpu::EmulatedPanels;
    kernels.tiles = &cpu::EmulatedTileKernels;
    kernels.lanes = &cpu::AmxLanes<cpu::EmulatedTiles<void>, cpu::EmulatedSimd>::KernelsOf;
    return kernels;
  }();
  return kKernels;
}

template <auto kOp, typename Args>
void Run(const Args& args, ExecutionContext& context) {
  kOp(EmulatedKernels(), args, context);
}

}  // namespace

KernelTable EmulatedTilesTable() {
  const char* name = kEmulatedTilesName;
  return {.embedding = {name, &Run<&cpu::Embedding, EmbeddingArgs>},
          .rms_norm = {name, &Run<&cpu::RmsNorm, RmsNormArgs>},
          .linear = {name, &Run<&cpu::Linear, LinearArgs>},
          .mlp = {name, &Run<&cpu::Mlp, MlpArgs>},
          .mla_project = {name, &Run<&cpu::MlaProject, MlaProjectArgs>},
          .mla_attention = {name, &Run<&cpu::MlaAttention, MlaAttentionArgs>},
          .moe_route = {name, &Run<&cpu::MoeRoute, MoeRouteArgs>},
          .moe_experts = {name, &Run<&cpu::MoeExperts, MoeExpertsArgs>}};
}

}  // namespace hadal::test
