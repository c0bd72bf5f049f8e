#include "engine/host_mirror.h"

#include <algorithm>
#include <numeric>
#include <span>
#include <type_traits>
#include <utility>

#include "base/check.h"
#include "base/checked_cast.h"

namespace hadal {
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

// Blocks that hold the rows of sequence `s`.
int64_t NumBlocks(const MlaAttentionArgs& args, int64_t s) {
  const int32_t end = args.query_starts(s + 1);
  return end > args.query_starts(s) ? args.positions(end - 1) / args.cache.block_size + 1 : 0;
}

}  // namespace

void* HostMirror::Mirror(const void* there, size_t size_bytes, bool is_output) {
  if (there == nullptr || size_bytes == 0) {
    return nullptr;
  }
  for (Piece& piece : pieces_) {
    if (piece.there == there && piece.size_bytes == size_bytes) {
      piece.is_output = piece.is_output || is_output;
      return piece.here;
    }
  }
  auto buffer = DeviceBuffer::Allocate(CpuDevice(), size_bytes);
  CHECK(buffer.ok());
  buffers_.push_back(*std::move(buffer));
  device_.copy(buffers_.back().data(), there, size_bytes);
  pieces_.push_back({.there = const_cast<void*>(there),
                     .here = buffers_.back().data(),
                     .size_bytes = size_bytes,
                     .is_output = is_output});
  return buffers_.back().data();
}

template <typename T, size_t Rank>
void HostMirror::Mirror(TensorView<T, Rank>& view) {
  view.data = static_cast<T*>(Mirror(view.data, SpanBytes(view), !std::is_const_v<T>));
}

void HostMirror::Mirror(WeightMatrix& weight) {
  const auto scale_bytes = CheckedCast<size_t>(ScaleBytes(weight));
  const size_t payload_bytes = CheckedCast<size_t>(SizeBytes(weight)) - scale_bytes;
  weight.payload = Mirror(weight.payload, payload_bytes, false);
  weight.scales = static_cast<const float*>(Mirror(weight.scales, scale_bytes, false));
}

void HostMirror::Mirror(MlpWeights& weights) {
  Mirror(weights.gate_proj);
  Mirror(weights.up_proj);
  Mirror(weights.down_proj);
}

void HostMirror::FetchOutputs() {
  for (const Piece& piece : pieces_) {
    if (piece.is_output) {
      device_.copy(piece.here, piece.there, piece.size_bytes);
    }
  }
}

void HostMirror::StoreOutputs() {
  for (const Piece& piece : pieces_) {
    if (piece.is_output) {
      device_.copy(piece.there, piece.here, piece.size_bytes);
    }
  }
}

EmbeddingArgs HostMirror::MirrorActivations(EmbeddingArgs args) {
  if (!device_.is_host) {
    Mirror(args.token_ids);
    Mirror(args.y);
  }
  return args;
}

RmsNormArgs HostMirror::MirrorActivations(RmsNormArgs args) {
  if (!device_.is_host) {
    Mirror(args.x);
    Mirror(args.y);
  }
  return args;
}

LinearArgs HostMirror::MirrorActivations(LinearArgs args) {
  if (!device_.is_host) {
    Mirror(args.x);
    Mirror(args.y);
  }
  return args;
}

MlpArgs HostMirror::MirrorActivations(MlpArgs args) {
  if (!device_.is_host) {
    Mirror(args.x);
    Mirror(args.y);
  }
  return args;
}

MlaProjectArgs HostMirror::MirrorActivations(MlaProjectArgs args) {
  if (device_.is_host) {
    return args;
  }
  Mirror(args.x);
  Mirror(args.angles.cos);
  Mirror(args.angles.sin);
  Mirror(args.slots);
  Mirror(args.q);
  // Row i of a cache that is as large as the call is that of token i.
  const auto row_bytes = CheckedCast<size_t>(RowBytes(args.cache));
  const int64_t num_tokens = args.slots.extent(0);
  const int64_t block_size = args.cache.block_size;
  LatentCache rows = args.cache;
  rows.num_blocks = (num_tokens + block_size - 1) / block_size;
  rows_.resize(CheckedCast<size_t>(rows.num_blocks * block_size) * row_bytes);
  rows.rows = rows_.data();
  for (int64_t i = 0; i < num_tokens; ++i) {
    pieces_.push_back({.there = RowOf(args.cache, args.slots(i)),
                       .here = RowOf(rows, i),
                       .size_bytes = row_bytes,
                       .is_output = true});
  }
  slots_.resize(CheckedCast<size_t>(num_tokens));
  std::iota(slots_.begin(), slots_.end(), 0);
  args.cache = rows;
  args.slots = MakeView(static_cast<const int64_t*>(slots_.data()), num_tokens);
  return args;
}

MlaAttentionArgs HostMirror::MirrorActivations(MlaAttentionArgs args) {
  if (!device_.is_host) {
    Mirror(args.q);
    Mirror(args.query_starts);
    Mirror(args.block_tables);
    Mirror(args.positions);
    Mirror(args.out);
  }
  return args;
}

MoeRouteArgs HostMirror::MirrorActivations(MoeRouteArgs args) {
  if (!device_.is_host) {
    Mirror(args.x);
    Mirror(args.expert_ids);
    Mirror(args.weights);
  }
  return args;
}

MoeExpertsArgs HostMirror::MirrorActivations(MoeExpertsArgs args) {
  if (!device_.is_host) {
    Mirror(args.x);
    Mirror(args.expert_ids);
    Mirror(args.weights);
    Mirror(args.y);
  }
  return args;
}

GatherRowsArgs HostMirror::MirrorActivations(GatherRowsArgs args) {
  if (!device_.is_host) {
    Mirror(args.x);
    Mirror(args.rows);
    Mirror(args.y);
  }
  return args;
}

CheckFiniteArgs HostMirror::MirrorActivations(CheckFiniteArgs args) {
  if (!device_.is_host) {
    Mirror(args.x);
    Mirror(args.is_finite);
  }
  return args;
}

SampleArgs HostMirror::MirrorActivations(SampleArgs args) {
  if (!device_.is_host) {
    Mirror(args.logits);
    Mirror(args.choices);
    Mirror(args.token_ids);
  }
  return args;
}

EmbeddingArgs HostMirror::MirrorOperands(EmbeddingArgs args) {
  if (!device_.is_host) {
    Mirror(args.table);
  }
  return args;
}

RmsNormArgs HostMirror::MirrorOperands(RmsNormArgs args) {
  if (!device_.is_host) {
    Mirror(args.weight);
  }
  return args;
}

LinearArgs HostMirror::MirrorOperands(LinearArgs args) {
  if (!device_.is_host) {
    Mirror(args.weight);
  }
  return args;
}

MlpArgs HostMirror::MirrorOperands(MlpArgs args) {
  if (!device_.is_host) {
    Mirror(args.weights);
  }
  return args;
}

MlaProjectArgs HostMirror::MirrorOperands(MlaProjectArgs args) {
  if (!device_.is_host) {
    Mirror(args.weights.q_a_proj);
    Mirror(args.weights.q_a_layernorm);
    Mirror(args.weights.q_b_proj);
    Mirror(args.weights.kv_a_proj_with_mqa);
    Mirror(args.weights.kv_a_layernorm);
  }
  return args;
}

MlaAttentionArgs HostMirror::MirrorOperands(MlaAttentionArgs args) {
  if (device_.is_host) {
    return args;
  }
  Mirror(args.kv_b_proj.whole);
  Mirror(args.kv_b_proj.keys);
  Mirror(args.kv_b_proj.values);
  // The blocks of all sequences one after the other.
  const int64_t num_sequences = args.block_tables.extent(0);
  const int64_t max_blocks = args.block_tables.extent(1);
  const int64_t block_bytes = args.cache.block_size * RowBytes(args.cache);
  LatentCache blocks = args.cache;
  blocks.num_blocks = 0;
  for (int64_t s = 0; s < num_sequences; ++s) {
    blocks.num_blocks += NumBlocks(args, s);
  }
  blocks_.resize(CheckedCast<size_t>(blocks.num_blocks * block_bytes));
  block_ids_.assign(CheckedCast<size_t>(num_sequences * max_blocks), 0);
  blocks.rows = blocks_.data();
  int32_t next = 0;
  for (int64_t s = 0; s < num_sequences; ++s) {
    for (int64_t i = 0; i < NumBlocks(args, s); ++i) {
      device_.copy(RowOf(blocks, next * blocks.block_size),
                   RowOf(args.cache, args.block_tables(s, i) * blocks.block_size),
                   CheckedCast<size_t>(block_bytes));
      block_ids_[CheckedCast<size_t>(s * max_blocks + i)] = next++;
    }
  }
  args.cache = blocks;
  args.block_tables =
      MakeView(static_cast<const int32_t*>(block_ids_.data()), num_sequences, max_blocks);
  return args;
}

MoeRouteArgs HostMirror::MirrorOperands(MoeRouteArgs args) {
  if (!device_.is_host) {
    Mirror(args.gate);
    Mirror(args.e_score_correction_bias);
  }
  return args;
}

MoeExpertsArgs HostMirror::MirrorOperands(MoeExpertsArgs args) {
  if (device_.is_host) {
    return args;
  }
  // All matrices keep their places in the list, and those that nobody chose stay on the device.
  const std::span<const MlpWeights> experts = args.experts.Row();
  experts_.assign(experts.begin(), experts.end());
  std::vector<bool> is_here(experts.size());
  for (int64_t t = 0; t < args.expert_ids.extent(0); ++t) {
    for (const int32_t expert : args.expert_ids.Row(t)) {
      const auto i = CheckedCast<size_t>(expert);
      if (!is_here[i]) {
        Mirror(experts_[i]);
        is_here[i] = true;
      }
    }
  }
  args.experts = MakeView(static_cast<const MlpWeights*>(experts_.data()), std::ssize(experts_));
  if (args.shared_experts.has_value()) {
    Mirror(*args.shared_experts);
  }
  return args;
}

}  // namespace hadal
