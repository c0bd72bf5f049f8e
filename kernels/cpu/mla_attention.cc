// Attention over paged latents in both forms. The absorbed form works on (token, kTile heads): each
// cache row is widened once for the tile and serves as key and value of all its heads. The
// materialised form works on (sequence, head): keys and values of kContextTile positions are
// expanded and serve all query tokens of the sequence.

#include <algorithm>
#include <array>

#include "kernels/cpu/online_softmax.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/row_dots.h"

namespace hadal::cpu {
namespace {

constexpr int64_t kContextTile = 64;

struct Attention {
  const VectorKernels& vector;
  const MlaAttentionArgs& args;
  int64_t num_heads = args.q.extent(1);
  int64_t row_width = args.cache.row_width;
  int64_t rope_dim = row_width - args.kv_lora_rank;
  int64_t nope_dim = args.q.extent(2) - rope_dim;
  int64_t qk_head_dim = args.q.extent(2);
  int64_t head_rows = nope_dim + args.v_head_dim;  // of kv_b_proj
};

// One worker's memory.
struct Workspace {
  TensorView<float, 2> rows;      // [kContextTile, row_width] cache rows
  TensorView<float, 2> keys;      // [kContextTile, qk_head_dim]
  TensorView<float, 2> values;    // [kContextTile, v_head_dim]
  TensorView<float, 2> q_latent;  // [kTile, row_width]
  TensorView<float, 2> context;   // [kTile, kv_lora_rank]
  TensorView<float, 1> weights;   // [kv_lora_rank] one row of kv_b_proj
  TensorView<float, 2> states;    // [max_queries, 2] highest and sum of each query
};

Workspace MakeWorkspace(const Attention& attention, int64_t max_queries, ScratchArena& scratch) {
  const int64_t rank = attention.args.kv_lora_rank;
  return {.rows = scratch.Allocate<float>(kContextTile, attention.row_width),
          .keys = scratch.Allocate<float>(kContextTile, attention.qk_head_dim),
          .values = scratch.Allocate<float>(kContextTile, attention.args.v_head_dim),
          .q_latent = scratch.Allocate<float>(kTile, attention.row_width),
          .context = scratch.Allocate<float>(kTile, rank),
          .weights = scratch.Allocate<float>(rank),
          .states = scratch.Allocate<float>(max_queries, 2)};
}

// Cache rows of positions [begin, begin + count) of a sequence.
void WidenRows(const Attention& attention,
               std::span<const int32_t> blocks,
               int64_t begin,
               int64_t count,
               const TensorView<float, 2>& rows) {
  const LatentCache& cache = attention.args.cache;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t block = blocks[static_cast<size_t>((begin + i) / cache.block_size)];
    const int64_t slot = block * cache.block_size + (begin + i) % cache.block_size;
    float* row = rows.Row(i).data();
    if (cache.dtype == DType::kF32) {
      std::copy_n(
          static_cast<const float*>(cache.rows) + slot * cache.row_width, cache.row_width, row);
    } else {
      attention.vector.widen_bf16(
          static_cast<const bf16*>(cache.rows) + slot * cache.row_width, cache.row_width, row);
    }
  }
}

// scores[r][c] = softmax_scale * x[r] · (keys + c * stride), for all c < count.
void Scores(const Attention& attention,
            const std::array<const float*, kTile>& x,
            int64_t num_x,
            const float* keys,
            int64_t stride,
            int64_t count,
            int64_t width,
            std::array<std::array<float, kContextTile>, kTile>& scores) {
  for (int64_t c = 0; c < count; c += kTile) {
    const int64_t num_keys = std::min(kTile, count - c);
    TileSums sums = {};
    attention.vector.dot_tile(x, num_x, keys + c * stride, stride, num_keys, width, sums);
    for (int64_t r = 0; r < num_x; ++r) {
      for (int64_t j = 0; j < num_keys; ++j) {
        scores[static_cast<size_t>(r)][static_cast<size_t>(c + j)] =
            sums[static_cast<size_t>(r)][static_cast<size_t>(j)] * attention.args.softmax_scale;
      }
    }
  }
}

// q_latent[h] = (U_hᵀ q_nope, q_pe) for heads [first, first + count) of token t.
void AbsorbQueries(
    const Attention& attention, int64_t t, int64_t first, int64_t count, const Workspace& space) {
  const int64_t rank = attention.args.kv_lora_rank;
  for (int64_t h = 0; h < count; ++h) {
    const auto q = attention.args.q.Row(t, first + h);
    const auto q_latent = space.q_latent.Row(h);
    std::fill(q_latent.begin(), q_latent.end(), 0.0F);
    for (int64_t i = 0; i < attention.nope_dim; ++i) {
      WidenWeights(attention.vector,
                   attention.args.kv_b_proj,
                   (first + h) * attention.head_rows + i,
                   0,
                   rank,
                   space.weights.data);
      attention.vector.axpy(q[static_cast<size_t>(i)], space.weights.data, rank, q_latent.data());
    }
    std::copy_n(q.data() + attention.nope_dim, attention.rope_dim, q_latent.data() + rank);
  }
}

// Heads [first, first + count) of token t, whose sequence has `blocks`.
void AttendAbsorbed(const Attention& attention,
                    int64_t t,
                    int64_t first,
                    int64_t count,
                    std::span<const int32_t> blocks,
                    const Workspace& space) {
  const int64_t rank = attention.args.kv_lora_rank;
  AbsorbQueries(attention, t, first, count, space);
  std::array<const float*, kTile> x = {};
  std::array<OnlineSoftmax, kTile> states = {};
  for (int64_t h = 0; h < count; ++h) {
    x[static_cast<size_t>(h)] = space.q_latent.Row(h).data();
    const auto context = space.context.Row(h);
    std::fill(context.begin(), context.end(), 0.0F);
  }
  const int64_t context_len = attention.args.positions(t) + int64_t{1};
  std::array<std::array<float, kContextTile>, kTile> scores;
  for (int64_t begin = 0; begin < context_len; begin += kContextTile) {
    const int64_t num_rows = std::min(kContextTile, context_len - begin);
    WidenRows(attention, blocks, begin, num_rows, space.rows);
    Scores(attention,
           x,
           count,
           space.rows.data,
           attention.row_width,
           num_rows,
           attention.row_width,
           scores);
    for (int64_t h = 0; h < count; ++h) {
      const auto head = static_cast<size_t>(h);
      AddScores(attention.vector,
                std::span(scores[head]).first(static_cast<size_t>(num_rows)),
                space.rows.data,
                attention.row_width,
                states[head],
                space.context.Row(h));
    }
  }
  for (int64_t h = 0; h < count; ++h) {
    const InputRows input = {.x = MakeView(space.context.Row(h).data(), 1, rank), .indices = {}};
    const int64_t values_begin = (first + h) * attention.head_rows + attention.nope_dim;
    const auto out = attention.args.out.Row(t, first + h);
    const float sum = states[static_cast<size_t>(h)].sum;
    RowDots(attention.vector,
            input,
            attention.args.kv_b_proj,
            values_begin,
            values_begin + attention.args.v_head_dim,
            [&](int64_t /*i*/, int64_t row, float value) {
              out[static_cast<size_t>(row - values_begin)] = value / sum;
            });
  }
}

// Keys and values of one head for the `count` cache rows in space.rows.
void ExpandRows(const Attention& attention, int64_t head, int64_t count, const Workspace& space) {
  TensorView<float, 2> latents = space.rows.Slice(0, count);
  latents.extents[1] = attention.args.kv_lora_rank;
  const int64_t begin = head * attention.head_rows;
  RowDots(attention.vector,
          {.x = latents, .indices = {}},
          attention.args.kv_b_proj,
          begin,
          begin + attention.head_rows,
          [&](int64_t i, int64_t row, float value) {
            const int64_t column = row - begin;
            if (column < attention.nope_dim) {
              space.keys(i, column) = value;
            } else {
              space.values(i, column - attention.nope_dim) = value;
            }
          });
  for (int64_t i = 0; i < count; ++i) {
    std::copy_n(space.rows.Row(i).data() + attention.args.kv_lora_rank,
                attention.rope_dim,
                space.keys.Row(i).data() + attention.nope_dim);
  }
}

// One head of the query tokens [t_begin, t_end), which belong to one sequence.
void AttendMaterialised(const Attention& attention,
                        int64_t t_begin,
                        int64_t t_end,
                        int64_t head,
                        std::span<const int32_t> blocks,
                        const Workspace& space) {
  const MlaAttentionArgs& args = attention.args;
  const auto state_of = [&space, t_begin](int64_t t) { return space.states.Row(t - t_begin); };
  for (int64_t t = t_begin; t < t_end; ++t) {
    const OnlineSoftmax empty;
    state_of(t)[0] = empty.highest;
    state_of(t)[1] = empty.sum;
    const auto out = args.out.Row(t, head);
    std::fill(out.begin(), out.end(), 0.0F);
  }
  const int64_t context_len = args.positions(t_end - 1) + int64_t{1};
  std::array<std::array<float, kContextTile>, kTile> scores;
  for (int64_t begin = 0; begin < context_len; begin += kContextTile) {
    const int64_t num_rows = std::min(kContextTile, context_len - begin);
    WidenRows(attention, blocks, begin, num_rows, space.rows);
    ExpandRows(attention, head, num_rows, space);
    // The first query that sees any of these rows.
    const int64_t t_first = std::max(t_begin, t_begin + begin - args.positions(t_begin));
    for (int64_t t = t_first; t < t_end; t += kTile) {
      const int64_t num_queries = std::min(kTile, t_end - t);
      std::array<const float*, kTile> x = {};
      for (int64_t i = 0; i < num_queries; ++i) {
        x[static_cast<size_t>(i)] = args.q.Row(t + i, head).data();
      }
      Scores(attention,
             x,
             num_queries,
             space.keys.data,
             attention.qk_head_dim,
             num_rows,
             attention.qk_head_dim,
             scores);
      for (int64_t i = 0; i < num_queries; ++i) {
        const int64_t visible = std::min(num_rows, args.positions(t + i) + 1 - begin);
        const auto stored = state_of(t + i);
        OnlineSoftmax state = {.highest = stored[0], .sum = stored[1]};
        AddScores(attention.vector,
                  std::span(scores[static_cast<size_t>(i)]).first(static_cast<size_t>(visible)),
                  space.values.data,
                  args.v_head_dim,
                  state,
                  args.out.Row(t + i, head));
        stored[0] = state.highest;
        stored[1] = state.sum;
      }
    }
  }
  for (int64_t t = t_begin; t < t_end; ++t) {
    for (float& value : args.out.Row(t, head)) {
      value /= state_of(t)[1];
    }
  }
}

// Multiply-adds per head of each form, for `queries` tokens over `context` rows.
MlaForm CheaperForm(const Attention& attention, int64_t queries, int64_t context) {
  const int64_t rank = attention.args.kv_lora_rank;
  const int64_t expand = attention.head_rows * rank;
  const int64_t materialised =
      context * (expand + queries * (attention.qk_head_dim + attention.args.v_head_dim));
  const int64_t absorbed = queries * (expand + context * (attention.row_width + rank));
  return materialised < absorbed ? MlaForm::kMaterialised : MlaForm::kAbsorbed;
}

}  // namespace

void MlaAttention(const VectorKernels& vector,
                  const MlaAttentionArgs& args,
                  ExecutionContext& context) {
  const ScratchScope scope(context.scratch);
  const Attention attention = {.vector = vector, .args = args};
  const int64_t num_tokens = args.q.extent(0);
  const int64_t num_sequences = args.block_tables.extent(0);

  // 1. The form of each sequence, and the sequence of each token.
  const auto forms = context.scratch.Allocate<MlaForm>(num_sequences);
  const auto sequence_of = context.scratch.Allocate<int32_t>(num_tokens);
  int64_t max_queries = 0;
  for (int64_t s = 0; s < num_sequences; ++s) {
    const int64_t begin = args.query_starts(s);
    const int64_t end = args.query_starts(s + 1);
    std::fill(sequence_of.data + begin, sequence_of.data + end, static_cast<int32_t>(s));
    forms(s) = args.form;
    if (args.form == MlaForm::kAuto && begin < end) {
      forms(s) = CheaperForm(attention, end - begin, args.positions(end - 1) + int64_t{1});
    }
    max_queries = std::max(max_queries, end - begin);
  }
  const auto workspaces = context.scratch.Allocate<Workspace>(context.pool.num_threads());
  for (int64_t worker = 0; worker < context.pool.num_threads(); ++worker) {
    workspaces(worker) = MakeWorkspace(attention, max_queries, context.scratch);
  }

  // 2. Absorbed: an item is kTile heads of a token.
  const int64_t num_head_tiles = (attention.num_heads + kTile - 1) / kTile;
  const auto absorbed = [&](int64_t begin, int64_t end, int32_t worker) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t t = item / num_head_tiles;
      const int64_t head = item % num_head_tiles * kTile;
      if (forms(sequence_of(t)) == MlaForm::kAbsorbed) {
        AttendAbsorbed(attention,
                       t,
                       head,
                       std::min(kTile, attention.num_heads - head),
                       args.block_tables.Row(sequence_of(t)),
                       workspaces(worker));
      }
    }
  };
  context.pool.ParallelFor(num_tokens * num_head_tiles, 1, absorbed);

  // 3. Materialised: an item is one head of a sequence.
  const auto materialised = [&](int64_t begin, int64_t end, int32_t worker) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t s = item / attention.num_heads;
      const int64_t t_begin = args.query_starts(s);
      const int64_t t_end = args.query_starts(s + 1);
      if (forms(s) == MlaForm::kMaterialised && t_begin < t_end) {
        AttendMaterialised(attention,
                           t_begin,
                           t_end,
                           item % attention.num_heads,
                           args.block_tables.Row(s),
                           workspaces(worker));
      }
    }
  };
  context.pool.ParallelFor(num_sequences * attention.num_heads, 1, materialised);
}

}  // namespace hadal::cpu
