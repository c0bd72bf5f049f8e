#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cpu/vector_kernels.h"
#include "kernels/execution_context.h"
#include "kernels/mla_attention.h"

namespace hadal::cpu {

/// A call of mla_attention and the sizes that follow from it.
struct Attention {
  const VectorKernels& vector;
  const MlaAttentionArgs& args;
  LaneKernels lanes = vector.lanes(args.cache);
  int64_t num_heads = args.q.extent(1);
  int64_t row_width = args.cache.row_width;
  int64_t rope_dim = row_width - args.kv_lora_rank;
  int64_t nope_dim = args.q.extent(2) - rope_dim;
  int64_t qk_head_dim = args.q.extent(2);
  int64_t head_rows = nope_dim + args.v_head_dim;  // of kv_b_proj
};

/// The cache row at `position` of a sequence with this block table.
const std::byte* CacheRow(const LatentCache& cache,
                          std::span<const int32_t> block_table,
                          int64_t position);

/// rows[i] = the cache row at position begin + i, as float, for i < count.
void WidenRows(const Attention& attention,
               std::span<const int32_t> block_table,
               int64_t begin,
               int64_t count,
               const TensorView<float, 2>& rows);

/// The absorbed form of sequences [first, end).
void RunAbsorbed(const Attention& attention,
                 int64_t first_sequence,
                 int64_t end_sequence,
                 ExecutionContext& context);

/// Bytes of scratch that it takes at most.
struct AbsorbedSize {
  int64_t num_tokens;
  int64_t num_heads;
  int64_t row_width;
  int64_t kv_lora_rank;
  int64_t nope_dim;
  int32_t num_threads;
};
int64_t AbsorbedScratchBytes(const AbsorbedSize& size);

/// The materialised form of sequences [first, end).
void RunMaterialised(const Attention& attention,
                     int64_t first_sequence,
                     int64_t end_sequence,
                     ExecutionContext& context);

}  // namespace hadal::cpu
