// Absorbed attention with a query (a token and a head) in each lane of a vector.
//
// Queries of a sequence, the heads of one token and then the next token's, fill lane tiles; up to
// kMaxLaneTiles of them are a group, for which cache rows are widened once. A query's context is
// cut into splits, counted from position 0, by a rule that only its length enters. Each split is
// gathered by itself, in tiles of kPositionTile rows, and splits are merged in rising order: by the
// worker that ran all of them, or afterwards, where several workers shared them. The bits are the
// same in both cases.

#include <algorithm>
#include <array>
#include <limits>
#include <span>

#include "kernels/cpu/attention/absorption.h"
#include "kernels/cpu/attention/attention.h"

namespace hadal::cpu {
namespace {

// A group's queries and states, of float, and a widened tile fit an L2 cache of 1 MiB.
constexpr int64_t kMaxLaneTiles = 8;

// A context has at most kMaxSplits splits, of kMinSplit rows or a power of two times as many.
constexpr int64_t kMinSplit = 256;
constexpr int64_t kMaxSplits = 16;

// Into how many items work that all threads share is cut, so that they end at about the same time.
constexpr int64_t kItemsPerThread = 4;

// Queries whose latents are in memory at a time.
constexpr int64_t kMaxQueries = 8192;

int64_t SplitLength(int64_t context_len) {
  int64_t length = kMinSplit;
  while (length * kMaxSplits < context_len) {
    length *= 2;
  }
  return length;
}

// Consecutive queries [begin, begin + count) of a sequence, all with the same split length.
struct Group {
  int64_t begin;
  int64_t count;
  int64_t split_len;
  int64_t num_splits;  // of the last query, which has most
  int64_t first_part;  // where its parts begin, or kNoParts when one worker runs all its splits
  int32_t sequence;
};
constexpr int64_t kNoParts = -1;

// Splits or lane tiles [begin, end) of a group.
struct Item {
  int64_t group;
  int64_t begin;
  int64_t end;
};

// One worker's memory.
struct Workspace {
  std::byte* zero_row;          // a cache row
  float* widened;               // see PositionTile
  TensorView<float, 2> q;       // [kMaxLaneTiles, row_width * num_lanes]
  TensorView<float, 2> states;  // [kMaxLaneTiles, (2 + kv_lora_rank) * num_lanes]
  TensorView<float, 2> part;    // the same of one split
};

// Consecutive tokens that are run together. Query i is head i % num_heads of token
// first_token + i / num_heads.
struct Batch {
  const Attention& attention;
  int64_t first_token;
  TensorView<float, 3> rows;  // [num_tokens, num_heads, row_width] queries, later latents
  TensorView<Group, 1> groups;
  int64_t num_groups = 0;
  TensorView<float, 2> parts;  // [split * lane tiles of the group + lane tile, state]

  [[nodiscard]] int64_t num_lanes() const { return attention.lanes.num_lanes; }
  [[nodiscard]] int64_t num_tiles(int64_t num_queries) const {
    return (num_queries + num_lanes() - 1) / num_lanes();
  }
  [[nodiscard]] int64_t state_size() const {
    return (2 + attention.args.kv_lora_rank) * num_lanes();
  }
  // Of a query.
  [[nodiscard]] int64_t context_len(int64_t query) const {
    return attention.args.positions(first_token + query / attention.num_heads) + int64_t{1};
  }
  [[nodiscard]] int64_t context_len(const Group& group) const {
    return context_len(group.begin + group.count - 1);
  }
  [[nodiscard]] float* row(int64_t query) const { return rows.data + query * attention.row_width; }
};

// What a group costs beside others.
int64_t CostOf(const Batch& batch, const Group& group) {
  return batch.num_tiles(group.count) * batch.context_len(group);
}

// Calls visit(sequence, begin, end) for runs of queries of one sequence with one split length.
template <typename Visit>
void ForEachRun(const Batch& batch, int64_t first_sequence, int64_t end_sequence, Visit visit) {
  const MlaAttentionArgs& args = batch.attention.args;
  const int64_t end_token = batch.first_token + batch.rows.extent(0);
  for (int64_t s = first_sequence; s < end_sequence; ++s) {
    const int64_t end = std::min<int64_t>(args.query_starts(s + 1), end_token);
    for (int64_t t = std::max<int64_t>(args.query_starts(s), batch.first_token); t < end;) {
      const int64_t context_len = args.positions(t) + int64_t{1};
      const int64_t longest = SplitLength(context_len) * kMaxSplits;
      const int64_t run = std::min(end - t, longest - context_len + 1);
      visit(s,
            (t - batch.first_token) * batch.attention.num_heads,
            (t + run - batch.first_token) * batch.attention.num_heads);
      t += run;
    }
  }
}

// As many lane tiles share widened rows as leaves every worker some items.
void MakeGroups(int64_t first_sequence, int64_t end_sequence, int32_t num_threads, Batch& batch) {
  const auto num_splits = [&batch](int64_t end) {
    const int64_t context_len = batch.context_len(end - 1);
    const int64_t length = SplitLength(context_len);
    return (context_len + length - 1) / length;
  };
  int64_t num_units = 0;
  ForEachRun(batch, first_sequence, end_sequence, [&](int64_t /*s*/, int64_t begin, int64_t end) {
    num_units += batch.num_tiles(end - begin) * num_splits(end);
  });
  const int64_t wanted = num_threads == 1 ? 1 : 2 * num_threads;
  const int64_t group_size =
      std::clamp(num_units / wanted, int64_t{1}, kMaxLaneTiles) * batch.num_lanes();
  ForEachRun(batch, first_sequence, end_sequence, [&](int64_t s, int64_t begin, int64_t end) {
    for (int64_t first = begin; first < end; first += group_size) {
      const int64_t count = std::min(group_size, end - first);
      batch.groups(batch.num_groups++) = {.begin = first,
                                          .count = count,
                                          .split_len = SplitLength(batch.context_len(first)),
                                          .num_splits = num_splits(first + count),
                                          .first_part = kNoParts,
                                          .sequence = static_cast<int32_t>(s)};
    }
  });
}

// Lets workers share the splits of groups that are a large part of the work. Returns the number of
// states that their parts need.
int64_t ShareSplits(int32_t num_threads, const Batch& batch) {
  int64_t total = 0;
  for (int64_t i = 0; i < batch.num_groups; ++i) {
    total += CostOf(batch, batch.groups(i));
  }
  int64_t num_parts = 0;
  for (int64_t i = 0; i < batch.num_groups && num_threads > 1; ++i) {
    Group& group = batch.groups(i);
    if (group.num_splits > 1 && CostOf(batch, group) * kItemsPerThread * num_threads > total) {
      group.first_part = num_parts;
      num_parts += kMaxSplits * batch.num_tiles(group.count);
    }
  }
  return num_parts;
}

Workspace MakeWorkspace(const Batch& batch, ScratchArena& scratch) {
  const int64_t row_width = batch.attention.row_width;
  const int64_t num_blocks = (row_width + kColumnBlock - 1) / kColumnBlock;
  const int64_t row_bytes = RowBytes(batch.attention.args.cache);
  auto* zero_row = scratch.Allocate<std::byte>(row_bytes).data;
  std::fill_n(zero_row, row_bytes, std::byte{0});
  return {.zero_row = zero_row,
          .widened = scratch.Allocate<float>(num_blocks, kPositionTile, kColumnBlock).data,
          .q = scratch.Allocate<float>(kMaxLaneTiles, row_width * batch.num_lanes()),
          .states = scratch.Allocate<float>(kMaxLaneTiles, batch.state_size()),
          .part = scratch.Allocate<float>(kMaxLaneTiles, batch.state_size())};
}

// rows[i] = the cache row at position begin + i.
void FindRows(const LatentCache& cache,
              std::span<const int32_t> block_table,
              int64_t begin,
              std::span<const std::byte*> rows) {
  const int64_t row_bytes = RowBytes(cache);
  for (int64_t i = 0; i < std::ssize(rows);) {
    const std::byte* row = CacheRow(cache, block_table, begin + i);
    const int64_t rows_of_block = cache.block_size - (begin + i) % cache.block_size;
    for (const int64_t end = std::min(std::ssize(rows), i + rows_of_block); i < end; ++i) {
      rows[static_cast<size_t>(i)] = row;
      row += row_bytes;
    }
  }
}

// Takes the rows of positions [begin, end) into lane tiles, which may not be all they see.
// `next_end` is where the positions end that are taken after them.
void GatherRows(const Batch& batch,
                const Group& group,
                int64_t begin,
                int64_t end,
                int64_t next_end,
                std::span<LaneTile> tiles,
                const Workspace& space) {
  const Attention& attention = batch.attention;
  const LatentCache& cache = attention.args.cache;
  const auto block_table = attention.args.block_tables.Row(group.sequence);
  std::array<const std::byte*, kPositionTile + kRowsAhead> stored;
  stored.fill(space.zero_row);
  const auto num_stored = static_cast<size_t>(std::min(std::ssize(stored), next_end - begin));
  FindRows(cache, block_table, begin, std::span(stored).first(num_stored));
  int64_t query = group.begin;
  for (LaneTile& tile : tiles) {
    for (int64_t lane = 0; lane < batch.num_lanes(); ++lane) {
      const int64_t seen = batch.context_len(query) - begin;
      tile.num_rows[static_cast<size_t>(lane)] =
          static_cast<int32_t>(std::clamp(seen, int64_t{0}, end - begin));
      // Lanes without a query see what the last query sees.
      query = std::min(query + 1, group.begin + group.count - 1);
    }
  }
  attention.lanes.attend({.stored = stored.data(),
                          .num_rows = end - begin,
                          .dtype = cache.dtype,
                          .row_bytes = RowBytes(cache),
                          .row_width = attention.row_width,
                          .kv_lora_rank = attention.args.kv_lora_rank,
                          .softmax_scale = attention.args.softmax_scale,
                          .widened = space.widened},
                         tiles);
}

// states[i] = what lane tile i of the group gathers in one split. The worker's next splits end with
// `last_split`.
void GatherSplit(const Batch& batch,
                 const Group& group,
                 int64_t split,
                 int64_t last_split,
                 const TensorView<float, 2>& states,
                 const Workspace& space) {
  const int64_t num_tiles = batch.num_tiles(group.count);
  std::array<LaneTile, kMaxLaneTiles> tiles = {};
  for (int64_t i = 0; i < num_tiles; ++i) {
    float* state = states.Row(i).data();
    std::fill_n(state, batch.num_lanes(), -std::numeric_limits<float>::infinity());
    std::fill_n(state + batch.num_lanes(), batch.state_size() - batch.num_lanes(), 0.0F);
    tiles[static_cast<size_t>(i)].q = space.q.Row(i).data();
    tiles[static_cast<size_t>(i)].state = state;
  }
  const auto end_of = [&](int64_t any_split) {
    return std::min((any_split + 1) * group.split_len, batch.context_len(group));
  };
  for (int64_t begin = split * group.split_len; begin < end_of(split); begin += kPositionTile) {
    GatherRows(batch,
               group,
               begin,
               std::min(begin + kPositionTile, end_of(split)),
               end_of(last_split),
               std::span(tiles).first(static_cast<size_t>(num_tiles)),
               space);
  }
}

// Lane tile i's latents, in place of its queries.
void StoreLatents(const Batch& batch, const Group& group, int64_t i, const float* state) {
  const int64_t first = i * batch.num_lanes();
  batch.attention.lanes.from_lanes(state,
                                   batch.attention.args.kv_lora_rank,
                                   std::min(batch.num_lanes(), group.count - first),
                                   batch.attention.row_width,
                                   batch.row(group.begin + first));
}

void RunItem(const Batch& batch, const Item& item, const Workspace& space) {
  const Group& group = batch.groups(item.group);
  const LaneKernels& lanes = batch.attention.lanes;
  const int64_t num_tiles = batch.num_tiles(group.count);
  for (int64_t i = 0; i < num_tiles; ++i) {
    const int64_t first = i * batch.num_lanes();
    lanes.to_lanes(batch.row(group.begin + first),
                   batch.attention.row_width,
                   std::min(batch.num_lanes(), group.count - first),
                   batch.attention.row_width,
                   space.q.Row(i).data());
  }
  for (int64_t split = item.begin; split < item.end; ++split) {
    if (group.first_part != kNoParts) {
      const auto parts = batch.parts.Slice(group.first_part + split * num_tiles, num_tiles);
      GatherSplit(batch, group, split, item.end - 1, parts, space);
      continue;
    }
    const TensorView<float, 2>& states = split == 0 ? space.states : space.part;
    GatherSplit(batch, group, split, item.end - 1, states, space);
    for (int64_t i = 0; i < num_tiles && split > 0; ++i) {
      lanes.merge(
          space.part.Row(i).data(), batch.attention.args.kv_lora_rank, space.states.Row(i).data());
    }
  }
  for (int64_t i = 0; i < num_tiles && group.first_part == kNoParts; ++i) {
    StoreLatents(batch, group, i, space.states.Row(i).data());
  }
}

// The parts of one lane tile.
void MergeParts(const Batch& batch, const Item& item) {
  const Group& group = batch.groups(item.group);
  const auto part = [&](int64_t split) {
    const int64_t num_tiles = batch.num_tiles(group.count);
    return batch.parts.Row(group.first_part + split * num_tiles + item.begin).data();
  };
  for (int64_t split = 1; split < group.num_splits; ++split) {
    batch.attention.lanes.merge(part(split), batch.attention.args.kv_lora_rank, part(0));
  }
  StoreLatents(batch, group, item.begin, part(0));
}

// Latents of all groups, in place of their queries.
void RunGroups(const Batch& batch,
               const TensorView<Workspace, 1>& workspaces,
               ExecutionContext& context) {
  const auto items = context.scratch.Allocate<Item>(batch.num_groups * kMaxSplits);
  const auto tiles = context.scratch.Allocate<Item>(batch.num_groups * kMaxLaneTiles);
  int64_t num_items = 0;
  int64_t num_tiles = 0;
  for (int64_t i = 0; i < batch.num_groups; ++i) {
    const Group& group = batch.groups(i);
    const bool has_parts = group.first_part != kNoParts;
    const int64_t num_pieces =
        has_parts ? std::min(group.num_splits, kItemsPerThread * context.pool.num_threads()) : 1;
    for (int64_t piece = 0; piece < num_pieces; ++piece) {
      items(num_items++) = {.group = i,
                            .begin = piece * group.num_splits / num_pieces,
                            .end = (piece + 1) * group.num_splits / num_pieces};
    }
    for (int64_t tile = 0; has_parts && tile < batch.num_tiles(group.count); ++tile) {
      tiles(num_tiles++) = {.group = i, .begin = tile, .end = tile + 1};
    }
  }
  context.pool.ParallelFor(num_items, 1, [&](int64_t begin, int64_t end, int32_t worker) {
    for (int64_t i = begin; i < end; ++i) {
      RunItem(batch, items(i), workspaces(worker));
    }
  });
  context.pool.ParallelFor(num_tiles, 1, [&](int64_t begin, int64_t end, int32_t /*worker*/) {
    for (int64_t i = begin; i < end; ++i) {
      MergeParts(batch, tiles(i));
    }
  });
}

}  // namespace

void RunAbsorbed(const Attention& attention,
                 int64_t first_sequence,
                 int64_t end_sequence,
                 ExecutionContext& context) {
  const MlaAttentionArgs& args = attention.args;
  const int64_t end_token = args.query_starts(end_sequence);
  const int64_t tokens_at_a_time = std::max(kMaxQueries / attention.num_heads, int64_t{1});
  const int32_t num_threads = context.pool.num_threads();
  for (int64_t first = args.query_starts(first_sequence); first < end_token;
       first += tokens_at_a_time) {
    const ScratchScope scope(context.scratch);
    const int64_t num_tokens = std::min(tokens_at_a_time, end_token - first);
    Batch batch = {.attention = attention,
                   .first_token = first,
                   .rows = context.scratch.Allocate<float>(
                       num_tokens, attention.num_heads, attention.row_width),
                   .groups = {},
                   .parts = {}};
    batch.groups =
        context.scratch.Allocate<Group>(num_tokens * batch.num_tiles(attention.num_heads));
    MakeGroups(first_sequence, end_sequence, num_threads, batch);
    batch.parts =
        context.scratch.Allocate<float>(ShareSplits(num_threads, batch), batch.state_size());
    const auto workspaces = context.scratch.Allocate<Workspace>(num_threads);
    for (int64_t worker = 0; worker < num_threads; ++worker) {
      workspaces(worker) = MakeWorkspace(batch, context.scratch);
    }
    AbsorbQueries(attention, first, batch.rows, context);
    RunGroups(batch, workspaces, context);
    ProjectValues(attention, first, batch.rows, context);
  }
}

int64_t AbsorbedScratchBytes(const AbsorbedSize& size) {
  // Of few lanes there are most groups, of many lanes the largest states.
  constexpr int64_t kLeastLanes = 4;
  const int64_t tokens =
      std::min(size.num_tokens, std::max(kMaxQueries / size.num_heads, int64_t{1}));
  const int64_t num_groups = tokens * ((size.num_heads + kLeastLanes - 1) / kLeastLanes);
  const int64_t state_floats = (2 + size.kv_lora_rank) * kMaxLanes;
  // Groups whose splits are shared are so large a part of the work that they are few.
  const int64_t num_parts =
      size.num_threads == 1
          ? 0
          : kMaxSplits * std::min(kItemsPerThread * size.num_threads * kMaxLaneTiles, num_groups);
  const int64_t widened_floats =
      (size.row_width + kColumnBlock - 1) / kColumnBlock * kColumnBlock * kPositionTile;
  const int64_t thread_floats = size.row_width + widened_floats +
                                kMaxLaneTiles * (size.row_width * kMaxLanes + 2 * state_floats) +
                                kAbsorbedWeightRows * size.kv_lora_rank;
  // Rounded to int8 a row takes less than half of this again.
  const int64_t query_floats =
      size.row_width + std::max(size.nope_dim, size.kv_lora_rank) / 2 + kChunkCols;
  const int64_t floats = tokens * size.num_heads * query_floats + num_parts * state_floats +
                         size.num_threads * thread_floats;
  const int64_t group_bytes =
      int64_t{sizeof(Group)} + (kMaxSplits + kMaxLaneTiles) * int64_t{sizeof(Item)};
  return floats * int64_t{sizeof(float)} + num_groups * group_bytes +
         size.num_threads * int64_t{sizeof(Workspace)};
}

}  // namespace hadal::cpu
