#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/attention/plan.h"
#include "kernels/cuda/attention/query_tile.h"
#include "kernels/cuda/attention/swizzle.h"
#include "kernels/cuda/attention/tile_softmax.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/warp.h"

// Attention over cache rows in bf16, on tensor cores. A block takes 16 or 32 query rows (the
// columns of its products) over one part of the context, 64 positions at a time, so that one
// reading of a latent serves its score and its sum with every head. Decode steps are bound by
// reading the rows: the next tile is on its way while one is computed. Queries and weights count as
// two bf16 parts.

namespace hadal::cuda {
namespace {

constexpr int64_t kMaxRank = 512;
constexpr int kDimTiles = kMaxRank / 16 / kTileWarps;  // of latents, of a warp

// Where the parts of shared memory begin.
struct SharedLayout {
  int row_bytes;  // of the cache, and of a query
  int queries;    // high parts, then low parts, after two tiles of cache rows
  int weights;    // the same, [column][position]
  int exchange;   // float [kScoreWarps][columns]
  int factors;    // float [columns]
  int size_bytes;
};

__host__ __device__ constexpr SharedLayout LayoutOf(int row_width, int columns) {
  SharedLayout layout = {};
  layout.row_bytes = row_width * 2;
  layout.queries = 2 * kTilePositions * layout.row_bytes;
  layout.weights = layout.queries + 2 * columns * layout.row_bytes;
  layout.exchange = layout.weights + 2 * columns * kWeightBytes;
  layout.factors = layout.exchange + kScoreWarps * columns * 4;
  layout.size_bytes = layout.factors + columns * 4;
  return layout;
}

// Queries in two parts; zeros in rows that the tile has not.
template <int kColumns>
__device__ void LoadQueries(const Attention& attention, const QueryTile& tile, std::byte* queries) {
  const auto width = static_cast<int>(attention.cache.row_width);
  const auto rank = static_cast<int>(attention.cache.kv_lora_rank);
  for (int column = static_cast<int>(threadIdx.x) / kWarpSize; column < kColumns;
       column += kTileWarps) {
    const int64_t row = tile.first_row + column;
    const float* absorbed = attention.absorbed + row * rank;
    const float* q_pe = attention.q_pe + row / attention.num_heads * attention.q_token_stride +
                        row % attention.num_heads * attention.q_head_stride;
    for (int i = static_cast<int>(threadIdx.x) % kWarpSize * 2; i < width; i += kWarpSize * 2) {
      float2 pair = make_float2(0, 0);
      if (column < tile.num_rows) {
        const float* from = i < rank ? absorbed + i : q_pe + (i - rank);
        pair = make_float2(from[0], from[1]);
      }
      const SplitPair split = Split(pair.x, pair.y);
      const auto place = [&](int shared_row) {
        return reinterpret_cast<uint32_t*>(SwizzledChunk(queries, width * 2, shared_row, i / 8) +
                                           i % 8 * 2);
      };
      *place(column) = split.high;
      *place(kColumns + column) = split.low;
    }
  }
}

// Begins to copy rows of positions [begin, begin + kTilePositions); zeros from `end` on.
__device__ void CopyTile(
    const Attention& attention, const int32_t* table, int64_t begin, int64_t end, std::byte* rows) {
  const auto row_bytes = static_cast<int>(attention.row_bytes);
  const auto block_size = static_cast<int>(attention.cache.block_size);
  const auto* cache = static_cast<const std::byte*>(attention.cache.rows);
  for (int r = static_cast<int>(threadIdx.x) / kWarpSize; r < kTilePositions; r += kTileWarps) {
    const auto position = static_cast<int>(begin) + r;
    const bool is_there = position < end;
    const int64_t slot =
        is_there ? int64_t{table[position / block_size]} * block_size + position % block_size : 0;
    const std::byte* row = cache + slot * row_bytes;
    for (int chunk = static_cast<int>(threadIdx.x) % kWarpSize; chunk < row_bytes / 16;
         chunk += kWarpSize) {
      CopyAsync16(SwizzledChunk(rows, row_bytes, r, chunk), row + chunk * 16, is_there ? 16 : 0);
    }
  }
}

// Zeros for infinities and NaN in the tile's latents. Queries that see such a row have NaN for its
// weight; those that don't must not meet it as 0 * NaN.
__device__ void ClearNonFinite(std::byte* rows, int row_bytes, int rank) {
  const auto clear = [](uint32_t pair) {
    pair = (pair & 0x7F800000U) == 0x7F800000U ? pair & 0xFFFFU : pair;
    return (pair & 0x7F80U) == 0x7F80U ? pair & 0xFFFF0000U : pair;
  };
  for (int r = static_cast<int>(threadIdx.x) / kWarpSize; r < kTilePositions; r += kTileWarps) {
    for (int chunk = static_cast<int>(threadIdx.x) % kWarpSize; chunk < rank / 8;
         chunk += kWarpSize) {
      auto* words = reinterpret_cast<uint4*>(SwizzledChunk(rows, row_bytes, r, chunk));
      const uint4 before = *words;
      *words = {clear(before.x), clear(before.y), clear(before.z), clear(before.w)};
    }
  }
}

// scores += rows · queriesᵀ: the warp's 16 positions x its columns.
template <int kColumns>
__device__ void MultiplyScores(std::byte* rows,
                               std::byte* queries,
                               int row_bytes,
                               float (&scores)[Columns<kColumns>::kScoreTiles][4]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int bit0 = lane / 8 % 2;
  const int bit1 = lane / 16;
  const int first_tile = warp / kScoreWarps * Columns<kColumns>::kScoreTiles;
#pragma unroll 2
  for (int chunk = 0; chunk < row_bytes / 16; chunk += 2) {
    uint32_t fragment[4];
    LoadMatrices(fragment,
                 SwizzledChunk(
                     rows, row_bytes, warp % kScoreWarps * 16 + bit0 * 8 + lane % 8, chunk + bit1));
#pragma unroll
    for (int i = 0; i < Columns<kColumns>::kScoreTiles; ++i) {
      uint32_t query[4];  // the high part's two registers, then the low part's
      LoadMatrices(
          query,
          SwizzledChunk(
              queries, row_bytes, bit1 * kColumns + (first_tile + i) * 8 + lane % 8, chunk + bit0));
      const uint32_t high[2] = {query[0], query[1]};
      const uint32_t low[2] = {query[2], query[3]};
      MultiplyBf16(scores[i], fragment, low);
      MultiplyBf16(scores[i], fragment, high);
    }
  }
}

// latents = latents * factors + rowsᵀ · weightsᵀ: the warp's dimensions x all columns.
template <int kColumns>
__device__ void MultiplyLatents(std::byte* rows,
                                int row_bytes,
                                const std::byte* weights,
                                const float* factors,
                                int rank,
                                float (&latents)[kDimTiles][Columns<kColumns>::kTiles][4]) {
  constexpr int kTiles = Columns<kColumns>::kTiles;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int bit0 = lane / 8 % 2;
  const int bit1 = lane / 16;
#pragma unroll
  for (int i = 0; i < kTiles * 2; ++i) {
    const float factor = factors[i / 2 * 8 + lane % 4 * 2 + i % 2];
#pragma unroll
    for (int d = 0; d < kDimTiles; ++d) {
      latents[d][i / 2][i % 2] *= factor;
      latents[d][i / 2][i % 2 + 2] *= factor;
    }
  }
#pragma unroll 1
  for (int k = 0; k < kTilePositions; k += 16) {
    uint32_t weight[kTiles][4];  // the high part's two registers, then the low part's
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      LoadMatrices(
          weight[i],
          weights + (bit1 * kColumns + i * 8 + lane % 8) * kWeightBytes + (k + bit0 * 8) * 2);
    }
#pragma unroll
    for (int d = 0; d < kDimTiles; ++d) {
      const int dim_tile = warp + d * kTileWarps;
      if (dim_tile * 16 < rank) {
        uint32_t fragment[4];
        LoadMatricesTransposed(
            fragment, SwizzledChunk(rows, row_bytes, k + bit1 * 8 + lane % 8, dim_tile * 2 + bit0));
#pragma unroll
        for (int i = 0; i < kTiles; ++i) {
          const uint32_t high[2] = {weight[i][0], weight[i][1]};
          const uint32_t low[2] = {weight[i][2], weight[i][3]};
          MultiplyBf16(latents[d][i], fragment, low);
          MultiplyBf16(latents[d][i], fragment, high);
        }
      }
    }
  }
}

template <int kColumns>
__device__ void StoreLatents(const Attention& attention,
                             const QueryTile& tile,
                             int64_t part,
                             const float (&latents)[kDimTiles][Columns<kColumns>::kTiles][4]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const auto rank = static_cast<int>(attention.cache.kv_lora_rank);
#pragma unroll
  for (int i = 0; i < Columns<kColumns>::kTiles * 2; ++i) {
    const int column = i / 2 * 8 + lane % 4 * 2 + i % 2;
    float* out = attention.latents +
                 ((tile.first_row + column) * attention.num_parts + part) * rank + lane / 4;
#pragma unroll
    for (int d = 0; d < kDimTiles; ++d) {
      const int dim = (warp + d * kTileWarps) * 16;
      if (dim < rank && column < tile.num_rows) {
        out[dim] = latents[d][i / 2][i % 2];
        out[dim + 8] = latents[d][i / 2][i % 2 + 2];
      }
    }
  }
}

// A block for each query tile (x) and part (y).
template <int kColumns>
__global__ void __launch_bounds__(kTileThreads, 1) AttendTile(Attention attention) {
  LetNextKernelBegin();
  WaitForEarlierKernels();
  const QueryTile tile = FindQueryTile(attention, blockIdx.x, kColumns);
  if (tile.num_rows == 0) {
    return;
  }
  const int64_t part = blockIdx.y;
  const int64_t begin = part * kPartPositions;
  const int64_t last_row = tile.first_row + tile.num_rows - 1;
  const int64_t end =
      min(begin + kPartPositions, int64_t{attention.positions[last_row / attention.num_heads]} + 1);
  if (begin >= end) {
    return;
  }
  const int first_position = attention.positions[tile.first_row / attention.num_heads];
  const auto rank = static_cast<int>(attention.cache.kv_lora_rank);
  const SharedLayout layout = LayoutOf(static_cast<int>(attention.cache.row_width), kColumns);
  std::byte* shared = DynamicShared();
  auto* exchange = reinterpret_cast<float*>(shared + layout.exchange);
  auto* factors = reinterpret_cast<float*>(shared + layout.factors);
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int row = static_cast<int>(threadIdx.x) / kWarpSize % kScoreWarps * 16 + lane / 4;
  const auto buffer = [&](int64_t s) {
    return shared + (s / kTilePositions % 2) * kTilePositions * layout.row_bytes;
  };

  CopyTile(attention, tile.table, begin, end, buffer(begin));
  CommitCopies();
  LoadQueries<kColumns>(attention, tile, shared + layout.queries);
  Softmax<kColumns> softmax;
  softmax.Begin(attention, tile);
  float latents[kDimTiles][Columns<kColumns>::kTiles][4] = {};
#pragma unroll 1
  for (int64_t s = begin; s < end; s += kTilePositions) {
    const int64_t next = s + kTilePositions;
    if (next < end) {
      CopyTile(attention, tile.table, next, end, buffer(next));
    }
    CommitCopies();
    WaitForCopies<1>();
    __syncthreads();
    std::byte* rows = buffer(s);
    float scores[Columns<kColumns>::kScoreTiles][4] = {};
    MultiplyScores<kColumns>(rows, shared + layout.queries, layout.row_bytes, scores);
    softmax.Mask(scores, static_cast<int>(s) + row, attention.softmax_scale, exchange);
    __syncthreads();
    softmax.Weigh(scores, row, exchange, shared + layout.weights, factors);
    if (next - 1 > first_position) {
      ClearNonFinite(rows, layout.row_bytes, rank);
    }
    __syncthreads();
    MultiplyLatents<kColumns>(
        rows, layout.row_bytes, shared + layout.weights, factors, rank, latents);
    __syncthreads();
  }
  softmax.End(attention, tile, part, exchange);
  StoreLatents<kColumns>(attention, tile, part, latents);
}

// The widest tile fits in the shared memory that a block may have.
static_assert(LayoutOf(kMaxRank + 64, 32).size_bytes <= 227 << 10);

template <int kColumns>
void LaunchTiles(const Attention& attention) {
  const int64_t num_tiles =
      MaxQueryTiles(attention.num_tokens, attention.num_sequences, attention.num_heads, kColumns);
  const SharedLayout layout = LayoutOf(static_cast<int>(attention.cache.row_width), kColumns);
  Launch(
      "attend_tile",
      AttendTile<kColumns>,
      {.grid = dim3(static_cast<unsigned>(num_tiles), static_cast<unsigned>(attention.num_parts)),
       .threads = kTileThreads,
       .shared_bytes = static_cast<size_t>(layout.size_bytes)},
      attention);
}

}  // namespace

bool TakesTiles(const Attention& attention) {
  const LatentCache& cache = attention.cache;
  const int64_t rope_dim = cache.row_width - cache.kv_lora_rank;
  return cache.dtype == DType::kBf16 && cache.kv_lora_rank % 64 == 0 && rope_dim % 64 == 0 &&
         cache.kv_lora_rank <= kMaxRank && rope_dim <= 64 &&
         reinterpret_cast<uintptr_t>(cache.rows) % 16 == 0;
}

// Bits are the same with either width.
void AttendTiles(const Attention& attention) {
  const bool has_wide_tiles =
      attention.num_tokens * attention.num_heads >= 32 * attention.num_sequences;
  (has_wide_tiles ? LaunchTiles<32> : LaunchTiles<16>)(attention);
}

}  // namespace hadal::cuda
