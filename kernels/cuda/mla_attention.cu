#include <algorithm>

#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/attention/plan.h"
#include "kernels/cuda/device/scratch.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/round_rows.h"
#include "kernels/mla_attention.h"

namespace hadal::cuda {
namespace {

// q_nope as products with kv_b_proj take it: [num_tokens * num_heads, nope_dim], or as given.
TensorView<const float, 3> NopeQueries(const MlaAttentionArgs& args,
                                       int64_t nope_dim,
                                       Scratch& scratch) {
  TensorView<const float, 3> q = args.q;
  q.extents[2] = nope_dim;
  if (!args.kv_b_proj.is_quantized()) {
    return q;
  }
  const int64_t num_tokens = q.extent(0);
  const int64_t num_heads = q.extent(1);
  const auto rounded = MakeView(
      scratch.Allocate<float>(num_tokens * num_heads * nope_dim), num_tokens, num_heads, nope_dim);
  for (int64_t head = 0; head < num_heads; ++head) {
    RoundThroughInt8(
        {q.data + head * q.strides[1], {num_tokens, nope_dim}, {q.strides[0], 1}},
        {rounded.data + head * nope_dim, {num_tokens, nope_dim}, {num_heads * nope_dim, 1}});
  }
  return rounded;
}

// out[t, h] = V_h of the joined parts of [t, h].
void Project(const KvUp& up,
             const Attention& attention,
             Scratch& scratch,
             const TensorView<float, 3>& out) {
  const bool by_tiles = TakesHeadProducts(up);
  if (by_tiles && JoinsInProduct(attention.num_tokens, attention.num_parts)) {
    ProjectPartsByTiles(up, attention, out);
    return;
  }
  const int64_t num_rows = attention.num_tokens * attention.num_heads;
  const int64_t rank = up.kv_lora_rank;
  const auto latents = MakeView(
      scratch.Allocate<float>(num_rows * rank), attention.num_tokens, attention.num_heads, rank);
  JoinParts(attention, latents.data);
  if (up.weights.is_quantized()) {
    const auto flat = MakeView(latents.data, num_rows, rank);
    RoundThroughInt8(flat, flat);
  }
  (by_tiles ? ProjectByTiles : ProjectSimply)(up, latents, out);
}

// `args` with tokens from first_token on, of all that query_starts counts.
void AttendTokens(const MlaAttentionArgs& args,
                  int64_t first_token,
                  int64_t num_parts,
                  ExecutionContext& context) {
  Scratch scratch(context);
  const int64_t num_tokens = args.q.extent(0);
  const int64_t num_heads = args.q.extent(1);
  const int64_t rank = args.kv_lora_rank;
  const int64_t num_rows = num_tokens * num_heads;
  const KvUp up = {.weights = args.kv_b_proj,
                   .nope_dim = args.q.extent(2) - (args.cache.row_width - rank),
                   .kv_lora_rank = rank,
                   .v_head_dim = args.v_head_dim};
  const auto absorbed =
      MakeView(scratch.Allocate<float>(num_rows * rank), num_tokens, num_heads, rank);
  const Attention attention = {.absorbed = absorbed.data,
                               .q_pe = args.q.data + up.nope_dim,
                               .q_token_stride = args.q.strides[0],
                               .q_head_stride = args.q.strides[1],
                               .cache = args.cache,
                               .row_bytes = RowBytes(args.cache),
                               .query_starts = args.query_starts.data,
                               .num_sequences = args.block_tables.extent(0),
                               .block_tables = args.block_tables.data,
                               .tables_stride = args.block_tables.strides[0],
                               .positions = args.positions.data,
                               .softmax_scale = args.softmax_scale,
                               .first_token = first_token,
                               .num_tokens = num_tokens,
                               .num_heads = num_heads,
                               .num_parts = num_parts,
                               .highest = scratch.Allocate<float>(num_rows * num_parts),
                               .sums = scratch.Allocate<float>(num_rows * num_parts),
                               .latents = scratch.Allocate<float>(num_rows * num_parts * rank)};
  const auto q_nope = NopeQueries(args, up.nope_dim, scratch);
  (TakesHeadProducts(up) ? AbsorbByTiles : AbsorbSimply)(up, q_nope, absorbed);
  (TakesTiles(attention) ? AttendTiles : AttendSimply)(attention);
  Project(up, attention, scratch, args.out);
}

}  // namespace

void MlaAttention(const MlaAttentionArgs& args, ExecutionContext& context) {
  const int64_t num_tokens = args.q.extent(0);
  const int64_t num_parts = NumParts(args.block_tables.extent(1) * args.cache.block_size);
  const int64_t nope_dim = args.q.extent(2) - (args.cache.row_width - args.kv_lora_rank);
  const int64_t at_once =
      TokensAtOnce(ScratchBytesOfToken(args.q.extent(1), num_parts, args.kv_lora_rank, nope_dim));
  for (int64_t first = 0; first < num_tokens; first += at_once) {
    const int64_t count = std::min(at_once, num_tokens - first);
    MlaAttentionArgs some = args;
    some.q = args.q.Slice(first, count);
    some.positions = args.positions.Slice(first, count);
    some.out = args.out.Slice(first, count);
    AttendTokens(some, first, num_parts, context);
  }
}

}  // namespace hadal::cuda
