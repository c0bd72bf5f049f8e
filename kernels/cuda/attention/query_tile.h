#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/attention/plan.h"

namespace hadal::cuda {

/// Rows (token x head) of one sequence: row r is head r % num_heads of token r / num_heads of the
/// slice.
struct QueryTile {
  int64_t first_row;
  int64_t num_rows;  // 0: the block has no tile
  const int32_t* table;
};

/// Where the queries of sequence `i` begin in the slice, as far as they lie in it.
__device__ __forceinline__ int64_t QueryStart(const Attention& attention, int64_t i) {
  const int64_t start = attention.query_starts[i] - attention.first_token;
  return min(max(start, int64_t{0}), attention.num_tokens);
}

/// The tile of number `index` among tiles of `columns` rows.
__device__ inline QueryTile FindQueryTile(const Attention& attention,
                                          int64_t index,
                                          int64_t columns) {
  const auto first_tile = [&](int64_t i) {
    return FirstQueryTile(QueryStart(attention, i), i, attention.num_heads, columns);
  };
  int64_t low = 0;
  int64_t high = attention.num_sequences;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    if (first_tile(middle) <= index) {
      low = middle;
    } else {
      high = middle;
    }
  }
  const int64_t first_row =
      QueryStart(attention, low) * attention.num_heads + (index - first_tile(low)) * columns;
  const int64_t end_row = QueryStart(attention, low + 1) * attention.num_heads;
  return {.first_row = first_row,
          .num_rows = max(int64_t{0}, min(columns, end_row - first_row)),
          .table = attention.block_tables + low * attention.tables_stride};
}

}  // namespace hadal::cuda
