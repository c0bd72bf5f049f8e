#include "tests/support/emulated_table.h"

#include "kernels/cpu/attention/amx_lanes.h"
#include "kernels/cpu/ops.h"
#include "tests/kernels/cpu/emulated_panels.h"
#include "tests/kernels/cpu/emulated_simd.h"
#include "tests/kernels/cpu/emulated_tile_kernels.h"

// What kernels/cuda/table.h declares, as tests/support/cuda_emulation compiles it.
namespace hadal::cuda_emulated {

absl::StatusOr<KernelTable> MakeTable();
absl::StatusOr<KernelTable> MakeStagedTable();

}  // namespace hadal::cuda_emulated

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
          .moe_experts = {name, &Run<&cpu::MoeExperts, MoeExpertsArgs>},
          .gather_rows = {name, &Run<&cpu::GatherRows, GatherRowsArgs>},
          .check_finite = {name, &Run<&cpu::CheckFinite, CheckFiniteArgs>},
          .sample = {name, &Run<&cpu::Sample, SampleArgs>}};
}

bool EmulatesCuda() {
  return HADAL_EMULATES_CUDA;
}

std::vector<KernelTable> WithEmulatedCuda(std::vector<KernelTable> tables) {
  if (EmulatesCuda()) {
    tables.push_back(EmulatedCudaTable());
  }
  return tables;
}

KernelTable EmulatedCudaStagedTable() {
  auto table = cuda_emulated::MakeStagedTable();
  CHECK(table.ok());
  return *table;
}

KernelTable EmulatedCudaTable() {
  auto table = cuda_emulated::MakeTable();
  CHECK(table.ok());
  return *table;
}

}  // namespace hadal::test
