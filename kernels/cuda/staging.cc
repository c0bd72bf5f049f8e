#include "kernels/cuda/staging.h"

#include <type_traits>
#include <utility>

#include "base/checked_cast.h"
#include "kernels/cuda/device/memory.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/table.h"
#include "kernels/execution_context.h"

namespace hadal::cuda {
namespace {

// From the first element to the last, gaps between rows included.
template <typename T, size_t Rank>
size_t SpanBytes(const TensorView<T, Rank>& view) {
  if (view.num_elements() == 0) {
    return 0;
  }
  int64_t last = 0;
  for (size_t i = 0; i < Rank; ++i) {
    last += (view.extents[i] - 1) * view.strides[i];
  }
  return CheckedCast<size_t>(last + 1) * sizeof(T);
}

constexpr size_t kExpertAlignment = 64;

size_t PayloadBytes(const WeightMatrix& weight) {
  return CheckedCast<size_t>(SizeBytes(weight) - ScaleBytes(weight));
}

template <auto kOp, typename Args>
void RunStaged(const Args& args, ExecutionContext& context) {
  Staging staging;
  const Args uploaded = staging.Upload(args);
  ScratchArena scratch(GpuDevice());
  ExecutionContext gpu_context = {.pool = context.pool, .scratch = scratch};
  kOp(uploaded, gpu_context);
  staging.Download();
}

}  // namespace

void* Staging::Carry(const void* host, size_t size_bytes, bool is_output) {
  if (host == nullptr || size_bytes == 0) {
    return nullptr;
  }
  for (Piece& piece : pieces_) {
    if (piece.host == host && piece.size_bytes == size_bytes) {
      piece.is_output = piece.is_output || is_output;
      return piece.buffer.data();
    }
  }
  auto buffer = DeviceBuffer::Allocate(GpuDevice(), size_bytes);
  CHECK(buffer.ok());
  GpuDevice().copy(buffer->data(), host, size_bytes);
  pieces_.push_back({.host = const_cast<void*>(host),
                     .size_bytes = size_bytes,
                     .buffer = *std::move(buffer),
                     .is_output = is_output});
  return pieces_.back().buffer.data();
}

template <typename T, size_t Rank>
void Staging::Carry(TensorView<T, Rank>& view) {
  view.data = static_cast<T*>(Carry(view.data, SpanBytes(view), !std::is_const_v<T>));
}

void Staging::Carry(WeightMatrix& weight) {
  if (weight.payload == nullptr) {
    return;
  }
  weight.payload = Carry(weight.payload, PayloadBytes(weight), false);
  weight.scales = static_cast<const float*>(
      Carry(weight.scales, CheckedCast<size_t>(ScaleBytes(weight)), false));
}

// The ops want the matrices of all experts at equal distances.
void Staging::CarryExperts(WeightMatrix MlpWeights::*part) {
  std::vector<std::byte> payloads;
  std::vector<std::byte> scales;
  const auto append = [](const void* data, size_t size_bytes, std::vector<std::byte>& all) {
    const auto* bytes = static_cast<const std::byte*>(data);
    all.insert(all.end(), bytes, bytes + size_bytes);
    all.resize((all.size() + kExpertAlignment - 1) / kExpertAlignment * kExpertAlignment);
  };
  for (const MlpWeights& expert : experts_) {
    append((expert.*part).payload, PayloadBytes(expert.*part), payloads);
    append((expert.*part).scales, CheckedCast<size_t>(ScaleBytes(expert.*part)), scales);
  }
  const size_t payload_bytes = payloads.size() / experts_.size();
  const size_t scale_bytes = scales.size() / experts_.size();
  const auto carry = [this](std::vector<std::byte>& all) {
    expert_bytes_.push_back(std::move(all));
    const std::vector<std::byte>& kept = expert_bytes_.back();
    return static_cast<const std::byte*>(Carry(kept.data(), kept.size(), false));
  };
  const std::byte* payload = carry(payloads);
  const std::byte* scale = carry(scales);
  for (size_t i = 0; i < experts_.size(); ++i) {
    WeightMatrix& weight = experts_[i].*part;
    weight.payload = payload + i * payload_bytes;
    if (weight.scales != nullptr) {
      weight.scales = reinterpret_cast<const float*>(scale + i * scale_bytes);
    }
  }
}

void Staging::Carry(MlpWeights& weights) {
  Carry(weights.gate_proj);
  Carry(weights.up_proj);
  Carry(weights.down_proj);
}

void Staging::Carry(LatentCache& cache) {
  const int64_t size_bytes = cache.num_blocks * cache.block_size * RowBytes(cache);
  cache.rows = Carry(cache.rows, CheckedCast<size_t>(size_bytes), true);
}

EmbeddingArgs Staging::Upload(EmbeddingArgs args) {
  Carry(args.token_ids);
  Carry(args.table);
  Carry(args.y);
  return args;
}

RmsNormArgs Staging::Upload(RmsNormArgs args) {
  Carry(args.x);
  Carry(args.weight);
  Carry(args.y);
  return args;
}

LinearArgs Staging::Upload(LinearArgs args) {
  Carry(args.x);
  Carry(args.weight);
  Carry(args.y);
  return args;
}

MlpArgs Staging::Upload(MlpArgs args) {
  Carry(args.x);
  Carry(args.weights);
  Carry(args.y);
  return args;
}

MlaProjectArgs Staging::Upload(MlaProjectArgs args) {
  Carry(args.x);
  Carry(args.weights.q_a_proj);
  Carry(args.weights.q_a_layernorm);
  Carry(args.weights.q_b_proj);
  Carry(args.weights.kv_a_proj_with_mqa);
  Carry(args.weights.kv_a_layernorm);
  Carry(args.angles.cos);
  Carry(args.angles.sin);
  Carry(args.slots);
  Carry(args.cache);
  Carry(args.q);
  return args;
}

MlaAttentionArgs Staging::Upload(MlaAttentionArgs args) {
  Carry(args.q);
  Carry(args.cache);
  Carry(args.query_starts);
  Carry(args.block_tables);
  Carry(args.positions);
  Carry(args.kv_b_proj.whole);
  Carry(args.kv_b_proj.keys);
  Carry(args.kv_b_proj.values);
  Carry(args.out);
  return args;
}

MoeRouteArgs Staging::Upload(MoeRouteArgs args) {
  Carry(args.x);
  Carry(args.gate);
  Carry(args.e_score_correction_bias);
  Carry(args.expert_ids);
  Carry(args.weights);
  return args;
}

MoeExpertsArgs Staging::Upload(MoeExpertsArgs args) {
  Carry(args.x);
  Carry(args.expert_ids);
  Carry(args.weights);
  for (int64_t expert = 0; expert < args.experts.extent(0); ++expert) {
    experts_.push_back(args.experts(expert));
  }
  CarryExperts(&MlpWeights::gate_proj);
  CarryExperts(&MlpWeights::up_proj);
  CarryExperts(&MlpWeights::down_proj);
  args.experts = MakeView(static_cast<const MlpWeights*>(experts_.data()), std::ssize(experts_));
  if (args.shared_experts.has_value()) {
    Carry(*args.shared_experts);
  }
  Carry(args.y);
  return args;
}

GatherRowsArgs Staging::Upload(GatherRowsArgs args) {
  Carry(args.x);
  Carry(args.rows);
  Carry(args.y);
  return args;
}

CheckFiniteArgs Staging::Upload(CheckFiniteArgs args) {
  Carry(args.x);
  Carry(args.is_finite);
  return args;
}

SampleArgs Staging::Upload(SampleArgs args) {
  Carry(args.logits);
  Carry(args.choices);
  Carry(args.token_ids);
  return args;
}

void Staging::Download() {
  for (const Piece& piece : pieces_) {
    if (piece.is_output) {
      GpuDevice().copy(piece.host, piece.buffer.data(), piece.size_bytes);
    }
  }
}

absl::StatusOr<KernelTable> MakeStagedTable() {
  RETURN_IF_ERROR(CheckGpu());
  constexpr const char* kName = "cuda";
  return KernelTable{.embedding = {kName, &RunStaged<&Embedding, EmbeddingArgs>},
                     .rms_norm = {kName, &RunStaged<&RmsNorm, RmsNormArgs>},
                     .linear = {kName, &RunStaged<&Linear, LinearArgs>},
                     .mlp = {kName, &RunStaged<&Mlp, MlpArgs>},
                     .mla_project = {kName, &RunStaged<&MlaProject, MlaProjectArgs>},
                     .mla_attention = {kName, &RunStaged<&MlaAttention, MlaAttentionArgs>},
                     .moe_route = {kName, &RunStaged<&MoeRoute, MoeRouteArgs>},
                     .moe_experts = {kName, &RunStaged<&MoeExperts, MoeExpertsArgs>},
                     .gather_rows = {kName, &RunStaged<&GatherRows, GatherRowsArgs>},
                     .check_finite = {kName, &RunStaged<&CheckFinite, CheckFiniteArgs>},
                     .sample = {kName, &RunStaged<&Sample, SampleArgs>}};
}

}  // namespace hadal::cuda
