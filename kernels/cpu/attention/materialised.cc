// Materialised attention: keys and values of kContextTile positions are expanded for a head, and
// serve all query tokens of the sequence.

#include <algorithm>
#include <array>

#include "kernels/cpu/attention/attention.h"
#include "kernels/cpu/attention/online_softmax.h"
#include "kernels/cpu/row_dots.h"

namespace hadal::cpu {
namespace {

constexpr int64_t kContextTile = 64;

using ScoreTile = std::array<std::array<float, kContextTile>, kTile>;

// One worker's memory.
struct Workspace {
  TensorView<float, 2> rows;    // [kContextTile, row_width] cache rows
  TensorView<float, 2> keys;    // [kContextTile, qk_head_dim]
  TensorView<float, 2> values;  // [kContextTile, v_head_dim]
  TensorView<float, 2> states;  // [max_queries, 2] highest and sum of each query
};

Workspace MakeWorkspace(const Attention& attention, int64_t max_queries, ScratchArena& scratch) {
  return {.rows = scratch.Allocate<float>(kContextTile, attention.row_width),
          .keys = scratch.Allocate<float>(kContextTile, attention.qk_head_dim),
          .values = scratch.Allocate<float>(kContextTile, attention.args.v_head_dim),
          .states = scratch.Allocate<float>(max_queries, 2)};
}

// scores[r][c] = softmax_scale * x[r] · (keys + c * stride), for all c < count.
void Scores(const Attention& attention,
            const std::array<const float*, kTile>& x,
            int64_t num_x,
            const float* keys,
            int64_t stride,
            int64_t count,
            int64_t width,
            ScoreTile& scores) {
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

// Keys and values of one head for the `count` cache rows in space.rows.
void ExpandRows(const Attention& attention, int64_t head, int64_t count, const Workspace& space) {
  TensorView<float, 2> latents = space.rows.Slice(0, count);
  latents.extents[1] = attention.args.kv_lora_rank;
  const int64_t begin = head * attention.head_rows;
  RowDots(attention.vector,
          {.x = latents, .indices = {}},
          attention.args.kv_b_proj.whole,
          begin,
          begin + attention.head_rows,
          [&](int64_t i, int64_t row, std::span<const float> sums) {
            for (size_t j = 0; j < sums.size(); ++j) {
              const int64_t column = row - begin + static_cast<int64_t>(j);
              if (column < attention.nope_dim) {
                space.keys(i, column) = sums[j];
              } else {
                space.values(i, column - attention.nope_dim) = sums[j];
              }
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
  ScoreTile scores;
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
        const auto out = args.out.Row(t + i, head);
        const auto weights = std::span(scores[static_cast<size_t>(i)]);
        TakeScores(weights.first(static_cast<size_t>(visible)), state, out);
        attention.vector.axpy_tile({weights.data()},
                                   1,
                                   space.values.data,
                                   args.v_head_dim,
                                   visible,
                                   args.v_head_dim,
                                   {out.data()});
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

}  // namespace

void RunMaterialised(const Attention& attention,
                     int64_t first_sequence,
                     int64_t end_sequence,
                     ExecutionContext& context) {
  const MlaAttentionArgs& args = attention.args;
  const ScratchScope scope(context.scratch);
  int64_t max_queries = 0;
  for (int64_t s = first_sequence; s < end_sequence; ++s) {
    max_queries = std::max<int64_t>(max_queries, args.query_starts(s + 1) - args.query_starts(s));
  }
  const auto workspaces = context.scratch.Allocate<Workspace>(context.pool.num_threads());
  for (int64_t worker = 0; worker < context.pool.num_threads(); ++worker) {
    workspaces(worker) = MakeWorkspace(attention, max_queries, context.scratch);
  }
  // An item is one head of a sequence.
  const auto attend = [&](int64_t begin, int64_t end, int32_t worker) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t s = first_sequence + item / attention.num_heads;
      const int64_t t_begin = args.query_starts(s);
      const int64_t t_end = args.query_starts(s + 1);
      if (t_begin < t_end) {
        AttendMaterialised(attention,
                           t_begin,
                           t_end,
                           item % attention.num_heads,
                           args.block_tables.Row(s),
                           workspaces(worker));
      }
    }
  };
  context.pool.ParallelFor((end_sequence - first_sequence) * attention.num_heads, 1, attend);
}

}  // namespace hadal::cpu
