// Attention over paged latents in both forms. The absorbed form works on (up to kMaxQueries
// consecutive tokens of a sequence, kTile heads): each cache row and each weight is widened once
// for all of them, and a cache row serves as key and value of all its heads. The materialised form
// works on (sequence, head): keys and values of kContextTile positions are expanded and serve all
// query tokens of the sequence.
//
// What the absorbed form adds up for a token, and in which order, depends on the token's own
// context alone: on the tiles of kContextTile positions from 0 on, never on the tokens beside it.
// Its bits are therefore the same however tokens are cut into steps, batched and spread over
// threads.

#include <algorithm>
#include <array>

#include "kernels/cpu/online_softmax.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/row_dots.h"

namespace hadal::cpu {
namespace {

constexpr int64_t kContextTile = 64;
constexpr int64_t kMaxQueries = 16;  // whose queries and contexts, with the tile, fit the L2 cache
constexpr int64_t kWeightRows = 16;

using ScoreTile = std::array<std::array<float, kContextTile>, kTile>;

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

// Query tokens [begin, begin + count) of one sequence.
struct Queries {
  int64_t begin;
  int64_t count;
  int32_t sequence;
};

// One worker's memory. Rows of q_latent and context are [query * kTile + head].
struct Workspace {
  TensorView<float, 2> rows;      // [kContextTile, row_width] cache rows
  TensorView<float, 2> keys;      // [kContextTile, qk_head_dim]
  TensorView<float, 2> values;    // [kContextTile, v_head_dim]
  TensorView<float, 2> q_latent;  // [kMaxQueries * kTile, row_width]
  TensorView<float, 2> context;   // [kMaxQueries * kTile, kv_lora_rank]
  TensorView<float, 2> weights;   // [kWeightRows, kv_lora_rank] rows of kv_b_proj
  TensorView<float, 2> states;    // [max_queries, 2] highest and sum of each query
};

Workspace MakeWorkspace(const Attention& attention, int64_t max_queries, ScratchArena& scratch) {
  const int64_t rank = attention.args.kv_lora_rank;
  return {.rows = scratch.Allocate<float>(kContextTile, attention.row_width),
          .keys = scratch.Allocate<float>(kContextTile, attention.qk_head_dim),
          .values = scratch.Allocate<float>(kContextTile, attention.args.v_head_dim),
          .q_latent = scratch.Allocate<float>(kMaxQueries * kTile, attention.row_width),
          .context = scratch.Allocate<float>(kMaxQueries * kTile, rank),
          .weights = scratch.Allocate<float>(kWeightRows, rank),
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

// q_latent = (U_hᵀ q_nope, q_pe) for heads [first, first + count) of the queries.
void AbsorbQueries(const Attention& attention,
                   const Queries& queries,
                   int64_t first,
                   int64_t count,
                   const Workspace& space) {
  const MlaAttentionArgs& args = attention.args;
  const int64_t rank = args.kv_lora_rank;
  for (int64_t h = 0; h < count; ++h) {
    for (int64_t i = 0; i < queries.count; ++i) {
      const float* q = args.q.Row(queries.begin + i, first + h).data();
      float* q_latent = space.q_latent.Row(i * kTile + h).data();
      std::fill_n(q_latent, rank, 0.0F);
      std::copy_n(q + attention.nope_dim, attention.rope_dim, q_latent + rank);
    }
    for (int64_t row = 0; row < attention.nope_dim; row += kWeightRows) {
      const int64_t num_rows = std::min(kWeightRows, attention.nope_dim - row);
      for (int64_t j = 0; j < num_rows; ++j) {
        WidenWeights(attention.vector,
                     args.kv_b_proj,
                     (first + h) * attention.head_rows + row + j,
                     0,
                     rank,
                     space.weights.Row(j).data());
      }
      for (int64_t i = 0; i < queries.count; i += kTile) {
        const int64_t num_queries = std::min(kTile, queries.count - i);
        std::array<const float*, kTile> q = {};
        std::array<float*, kTile> q_latent = {};
        for (int64_t r = 0; r < num_queries; ++r) {
          q[static_cast<size_t>(r)] = args.q.Row(queries.begin + i + r, first + h).data() + row;
          q_latent[static_cast<size_t>(r)] = space.q_latent.Row((i + r) * kTile + h).data();
        }
        attention.vector.axpy_tile(
            q, num_queries, space.weights.data, rank, num_rows, rank, q_latent);
      }
    }
  }
}

// Takes the first `num_rows` of space.rows into `count` heads of query i.
void AttendRows(const Attention& attention,
                int64_t i,
                int64_t count,
                int64_t num_rows,
                const Workspace& space,
                std::array<OnlineSoftmax, kTile>& states) {
  std::array<const float*, kTile> x = {};
  std::array<const float*, kTile> weights = {};
  std::array<float*, kTile> context = {};
  ScoreTile scores;
  for (int64_t h = 0; h < count; ++h) {
    const auto head = static_cast<size_t>(h);
    x[head] = space.q_latent.Row(i * kTile + h).data();
    weights[head] = scores[head].data();
    context[head] = space.context.Row(i * kTile + h).data();
  }
  const int64_t width = attention.row_width;
  Scores(attention, x, count, space.rows.data, width, num_rows, width, scores);
  for (int64_t h = 0; h < count; ++h) {
    const auto head = static_cast<size_t>(h);
    TakeScores(std::span(scores[head]).first(static_cast<size_t>(num_rows)),
               states[head],
               space.context.Row(i * kTile + h));
  }
  attention.vector.axpy_tile(
      weights, count, space.rows.data, width, num_rows, attention.args.kv_lora_rank, context);
}

// out = V_h · context / sum for heads [first, first + count) of the queries.
void WriteAbsorbed(const Attention& attention,
                   const Queries& queries,
                   int64_t first,
                   int64_t count,
                   const std::array<std::array<OnlineSoftmax, kTile>, kMaxQueries>& states,
                   const Workspace& space) {
  const MlaAttentionArgs& args = attention.args;
  for (int64_t h = 0; h < count; ++h) {
    const InputRows input = {.x = {.data = space.context.Row(h).data(),
                                   .extents = {queries.count, args.kv_lora_rank},
                                   .strides = {kTile * args.kv_lora_rank, 1}},
                             .indices = {}};
    const int64_t begin = (first + h) * attention.head_rows + attention.nope_dim;
    RowDots(attention.vector,
            input,
            args.kv_b_proj,
            begin,
            begin + args.v_head_dim,
            [&](int64_t i, int64_t row, std::span<const float> sums) {
              for (size_t j = 0; j < sums.size(); ++j) {
                args.out(queries.begin + i, first + h, row - begin + static_cast<int64_t>(j)) =
                    sums[j] / states[static_cast<size_t>(i)][static_cast<size_t>(h)].sum;
              }
            });
  }
}

// Heads [first, first + count) of the queries.
void AttendAbsorbed(const Attention& attention,
                    const Queries& queries,
                    int64_t first,
                    int64_t count,
                    const Workspace& space) {
  const MlaAttentionArgs& args = attention.args;
  AbsorbQueries(attention, queries, first, count, space);
  std::array<std::array<OnlineSoftmax, kTile>, kMaxQueries> states = {};
  std::fill_n(space.context.data, queries.count * kTile * args.kv_lora_rank, 0.0F);
  const auto blocks = args.block_tables.Row(queries.sequence);
  const int64_t first_len = args.positions(queries.begin) + int64_t{1};
  const int64_t last_len = first_len + queries.count - 1;
  for (int64_t begin = 0; begin < last_len; begin += kContextTile) {
    const int64_t num_rows = std::min(kContextTile, last_len - begin);
    WidenRows(attention, blocks, begin, num_rows, space.rows);
    for (int64_t i = std::max(int64_t{0}, begin + 1 - first_len); i < queries.count; ++i) {
      const int64_t visible = std::min(num_rows, first_len + i - begin);
      AttendRows(attention, i, count, visible, space, states[static_cast<size_t>(i)]);
    }
  }
  WriteAbsorbed(attention, queries, first, count, states, space);
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

// Multiply-adds per head of each form, for `queries` tokens over `context` rows.
MlaForm CheaperForm(const Attention& attention, int64_t queries, int64_t context) {
  const int64_t rank = attention.args.kv_lora_rank;
  const int64_t expand = attention.head_rows * rank;
  const int64_t materialised =
      context * (expand + queries * (attention.qk_head_dim + attention.args.v_head_dim));
  const int64_t absorbed = queries * (expand + context * (attention.row_width + rank));
  return materialised < absorbed ? MlaForm::kMaterialised : MlaForm::kAbsorbed;
}

// The absorbed form of sequences that are to have it.
void RunAbsorbed(const Attention& attention,
                 const TensorView<MlaForm, 1>& forms,
                 const TensorView<Workspace, 1>& workspaces,
                 ExecutionContext& context) {
  const MlaAttentionArgs& args = attention.args;
  const int64_t num_tokens = args.q.extent(0);
  const int64_t num_head_tiles = (attention.num_heads + kTile - 1) / kTile;
  // As many tokens share rows and weights as leaves every thread an item.
  const int64_t most =
      std::clamp(num_tokens * num_head_tiles / workspaces.extent(0), int64_t{1}, kMaxQueries);
  const auto tiles = context.scratch.Allocate<Queries>(num_tokens);
  int64_t num_tiles = 0;
  for (int64_t s = 0; s < forms.extent(0); ++s) {
    const int64_t end = forms(s) == MlaForm::kAbsorbed ? args.query_starts(s + 1) : 0;
    for (int64_t begin = args.query_starts(s); begin < end; begin += most) {
      tiles(num_tiles++) = {.begin = begin,
                            .count = std::min(most, end - begin),
                            .sequence = static_cast<int32_t>(s)};
    }
  }
  const auto attend = [&](int64_t begin, int64_t end, int32_t worker) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t head = item % num_head_tiles * kTile;
      AttendAbsorbed(attention,
                     tiles(item / num_head_tiles),
                     head,
                     std::min(kTile, attention.num_heads - head),
                     workspaces(worker));
    }
  };
  context.pool.ParallelFor(num_tiles * num_head_tiles, 1, attend);
}

// The materialised form of the others. An item is one head of a sequence.
void RunMaterialised(const Attention& attention,
                     const TensorView<MlaForm, 1>& forms,
                     const TensorView<Workspace, 1>& workspaces,
                     ExecutionContext& context) {
  const MlaAttentionArgs& args = attention.args;
  const auto attend = [&](int64_t begin, int64_t end, int32_t worker) {
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
  context.pool.ParallelFor(forms.extent(0) * attention.num_heads, 1, attend);
}

}  // namespace

void MlaAttention(const VectorKernels& vector,
                  const MlaAttentionArgs& args,
                  ExecutionContext& context) {
  const ScratchScope scope(context.scratch);
  const Attention attention = {.vector = vector, .args = args};
  const int64_t num_sequences = args.block_tables.extent(0);
  const auto forms = context.scratch.Allocate<MlaForm>(num_sequences);
  int64_t max_queries = 0;  // of a materialised sequence
  for (int64_t s = 0; s < num_sequences; ++s) {
    const int64_t end = args.query_starts(s + 1);
    const int64_t num_queries = end - args.query_starts(s);
    forms(s) = args.form;
    if (args.form == MlaForm::kAuto && num_queries > 0) {
      forms(s) = CheaperForm(attention, num_queries, args.positions(end - 1) + int64_t{1});
    }
    if (forms(s) == MlaForm::kMaterialised) {
      max_queries = std::max(max_queries, num_queries);
    }
  }
  const auto workspaces = context.scratch.Allocate<Workspace>(context.pool.num_threads());
  for (int64_t worker = 0; worker < context.pool.num_threads(); ++worker) {
    workspaces(worker) = MakeWorkspace(attention, max_queries, context.scratch);
  }
  if (args.form != MlaForm::kMaterialised) {
    RunAbsorbed(attention, forms, workspaces, context);
  }
  if (args.form != MlaForm::kAbsorbed) {
    RunMaterialised(attention, forms, workspaces, context);
  }
}

}  // namespace hadal::cpu
