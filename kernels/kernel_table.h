#pragma once

#include "kernels/check_finite.h"
#include "kernels/device.h"
#include "kernels/embedding.h"
#include "kernels/gather_rows.h"
#include "kernels/kernel.h"
#include "kernels/linear.h"
#include "kernels/mla_attention.h"
#include "kernels/mla_project.h"
#include "kernels/mlp.h"
#include "kernels/moe_experts.h"
#include "kernels/moe_route.h"
#include "kernels/rms_norm.h"
#include "kernels/sample.h"

namespace hadal {

/// A back end: one implementation for each op that the model calls. Plain data, built once at start
/// (kernel_registry.h), never null. One entry can be replaced by another back end's alone.
struct KernelTable {
  Kernel<EmbeddingArgs> embedding;
  Kernel<RmsNormArgs> rms_norm;
  Kernel<LinearArgs> linear;
  Kernel<MlpArgs> mlp;
  Kernel<MlaProjectArgs> mla_project;
  Kernel<MlaAttentionArgs> mla_attention;
  Kernel<MoeRouteArgs> moe_route;
  Kernel<MoeExpertsArgs> moe_experts;
  Kernel<GatherRowsArgs> gather_rows;
  Kernel<CheckFiniteArgs> check_finite;
  Kernel<SampleArgs> sample;
  /// Whose memory the ops' tensors lie in.
  const Device* device = &CpuDevice();
  /// Whether device->recorder can record the ops: they do nothing but launch work, and what they
  /// launch follows from shapes and addresses alone.
  bool is_recordable = false;

  /// Calls visit(op name, entry of `tables`...) for each op, with the same entry of each table.
  template <typename Visitor, typename... Tables>
  static void ForEachOp(Visitor visit, Tables&... tables) {
    visit("embedding", tables.embedding...);
    visit("rms_norm", tables.rms_norm...);
    visit("linear", tables.linear...);
    visit("mlp", tables.mlp...);
    visit("mla_project", tables.mla_project...);
    visit("mla_attention", tables.mla_attention...);
    visit("moe_route", tables.moe_route...);
    visit("moe_experts", tables.moe_experts...);
    visit("gather_rows", tables.gather_rows...);
    visit("check_finite", tables.check_finite...);
    visit("sample", tables.sample...);
  }
};

}  // namespace hadal
