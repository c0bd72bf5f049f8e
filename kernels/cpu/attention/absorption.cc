#include "kernels/cpu/attention/absorption.h"

#include <algorithm>
#include <array>

#include "kernels/cpu/row_dots.h"

namespace hadal::cpu {
namespace {

constexpr int64_t kTokensPerItem = 64;  // that share widened weights
constexpr int64_t kValuesPerItem = 16;  // of one head

int64_t NumTokenPieces(int64_t num_tokens) {
  return (num_tokens + kTokensPerItem - 1) / kTokensPerItem;
}

// Calls emit(token, head, row, sums) for the products of all heads of all tokens with their parts
// of a quantised matrix, which have `num_rows` rows each. Row t * num_heads + h of x is head h of
// token t.
template <typename Emit>
void MultiplyHeads(const Attention& attention,
                   const Int8Rows& x,
                   const WeightMatrix& weight,
                   int64_t num_rows,
                   ExecutionContext& context,
                   Emit emit) {
  const int64_t num_tokens = x.count / attention.num_heads;
  const int64_t num_tiles = (num_rows + kTileRows - 1) / kTileRows;
  const auto multiply = [&](int64_t begin, int64_t end, int32_t /*worker*/) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t head = item / num_tiles;
      const int64_t first_row = head * RoundUpToPanel(num_rows);
      const int64_t row = item % num_tiles * kTileRows;
      PanelDots(attention.vector.panels(),
                x.Every(attention.num_heads, head, num_tokens),
                weight,
                first_row + row,
                first_row + std::min(row + kTileRows, num_rows),
                [&](int64_t t, int64_t weight_row, std::span<const float> sums) {
                  emit(t, head, weight_row - first_row, sums);
                });
    }
  };
  context.pool.ParallelFor(attention.num_heads * num_tiles, 1, multiply);
}

void AbsorbQuantized(const Attention& attention,
                     int64_t first_token,
                     const TensorView<float, 3>& q_latent,
                     ExecutionContext& context) {
  const MlaAttentionArgs& args = attention.args;
  const int64_t num_tokens = q_latent.extent(0);
  const TensorView<const float, 3> q = args.q.Slice(first_token, num_tokens);
  MultiplyHeads(attention,
                RoundRows(attention.vector.panels(), q, attention.nope_dim, context),
                args.kv_b_proj.keys,
                args.kv_lora_rank,
                context,
                [&](int64_t t, int64_t head, int64_t row, std::span<const float> sums) {
                  float* out = q_latent.Row(t, head).data();
                  std::copy(sums.begin(), sums.end(), out + row);
                });
  for (int64_t t = 0; t < num_tokens; ++t) {
    for (int64_t head = 0; head < attention.num_heads; ++head) {
      std::copy_n(q.Row(t, head).data() + attention.nope_dim,
                  attention.rope_dim,
                  q_latent.Row(t, head).data() + args.kv_lora_rank);
    }
  }
}

void ProjectQuantized(const Attention& attention,
                      int64_t first_token,
                      const TensorView<const float, 3>& latents,
                      ExecutionContext& context) {
  const MlaAttentionArgs& args = attention.args;
  MultiplyHeads(attention,
                RoundRows(attention.vector.panels(), latents, args.kv_lora_rank, context),
                args.kv_b_proj.values,
                args.v_head_dim,
                context,
                [&](int64_t t, int64_t head, int64_t row, std::span<const float> sums) {
                  float* out = args.out.Row(first_token + t, head).data();
                  std::copy(sums.begin(), sums.end(), out + row);
                });
}

// One head of `q_latent`'s tokens. `weights` is [kAbsorbedWeightRows, kv_lora_rank].
void AbsorbHead(const Attention& attention,
                int64_t first_token,
                int64_t head,
                const TensorView<float, 3>& q_latent,
                const TensorView<float, 2>& weights) {
  const MlaAttentionArgs& args = attention.args;
  const int64_t rank = args.kv_lora_rank;
  const int64_t num_tokens = q_latent.extent(0);
  for (int64_t t = 0; t < num_tokens; ++t) {
    const float* q = args.q.Row(first_token + t, head).data();
    float* row = q_latent.Row(t, head).data();
    std::fill_n(row, rank, 0.0F);
    std::copy_n(q + attention.nope_dim, attention.rope_dim, row + rank);
  }
  for (int64_t first = 0; first < attention.nope_dim; first += kAbsorbedWeightRows) {
    const int64_t num_rows = std::min(kAbsorbedWeightRows, attention.nope_dim - first);
    for (int64_t j = 0; j < num_rows; ++j) {
      const int64_t weight_row = head * attention.head_rows + first + j;
      WidenWeights(
          attention.vector, args.kv_b_proj.whole, weight_row, 0, rank, weights.Row(j).data());
    }
    for (int64_t t = 0; t < num_tokens; t += kTile) {
      const int64_t num_rows_of_tile = std::min(kTile, num_tokens - t);
      std::array<const float*, kTile> q = {};
      std::array<float*, kTile> rows = {};
      for (int64_t i = 0; i < num_rows_of_tile; ++i) {
        q[static_cast<size_t>(i)] = args.q.Row(first_token + t + i, head).data() + first;
        rows[static_cast<size_t>(i)] = q_latent.Row(t + i, head).data();
      }
      attention.vector.axpy_tile(q, num_rows_of_tile, weights.data, rank, num_rows, rank, rows);
    }
  }
}

}  // namespace

void AbsorbQueries(const Attention& attention,
                   int64_t first_token,
                   const TensorView<float, 3>& q_latent,
                   ExecutionContext& context) {
  const ScratchScope scope(context.scratch);
  if (attention.args.kv_b_proj.is_quantized()) {
    return AbsorbQuantized(attention, first_token, q_latent, context);
  }
  const int64_t num_tokens = q_latent.extent(0);
  const auto weights = context.scratch.Allocate<float>(
      context.pool.num_threads(), kAbsorbedWeightRows, attention.args.kv_lora_rank);
  const int64_t num_pieces = NumTokenPieces(num_tokens);
  const auto absorb = [&](int64_t begin, int64_t end, int32_t worker) {
    const TensorView<float, 2> own =
        MakeView(weights.Row(worker, 0).data(), kAbsorbedWeightRows, attention.args.kv_lora_rank);
    for (int64_t item = begin; item < end; ++item) {
      const int64_t first = item % num_pieces * kTokensPerItem;
      const int64_t count = std::min(kTokensPerItem, num_tokens - first);
      AbsorbHead(
          attention, first_token + first, item / num_pieces, q_latent.Slice(first, count), own);
    }
  };
  context.pool.ParallelFor(attention.num_heads * num_pieces, 1, absorb);
}

void ProjectValues(const Attention& attention,
                   int64_t first_token,
                   const TensorView<const float, 3>& latents,
                   ExecutionContext& context) {
  const ScratchScope scope(context.scratch);
  if (attention.args.kv_b_proj.is_quantized()) {
    return ProjectQuantized(attention, first_token, latents, context);
  }
  const MlaAttentionArgs& args = attention.args;
  const int64_t num_tokens = latents.extent(0);
  const int64_t num_pieces = NumTokenPieces(num_tokens);
  const int64_t num_row_pieces = (args.v_head_dim + kValuesPerItem - 1) / kValuesPerItem;
  const auto project = [&](int64_t begin, int64_t end, int32_t /*worker*/) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t head = item / num_pieces / num_row_pieces;
      const int64_t row = item / num_pieces % num_row_pieces * kValuesPerItem;
      const int64_t first = item % num_pieces * kTokensPerItem;
      const int64_t count = std::min(kTokensPerItem, num_tokens - first);
      const InputRows input = {.x = {.data = latents.Row(first, head).data(),
                                     .extents = {count, args.kv_lora_rank},
                                     .strides = {latents.strides[0], 1}},
                               .indices = {}};
      const int64_t values = head * attention.head_rows + attention.nope_dim;
      RowDots(attention.vector,
              input,
              args.kv_b_proj.whole,
              values + row,
              values + std::min(row + kValuesPerItem, args.v_head_dim),
              [&](int64_t t, int64_t weight_row, std::span<const float> sums) {
                float* out = args.out.Row(first_token + first + t, head).data();
                std::copy(sums.begin(), sums.end(), out + (weight_row - values));
              });
    }
  };
  context.pool.ParallelFor(attention.num_heads * num_row_pieces * num_pieces, 1, project);
}

}  // namespace hadal::cpu
