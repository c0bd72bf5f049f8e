#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/attention/plan.h"
#include "kernels/cuda/attention/query_tile.h"
#include "kernels/cuda/attention/swizzle.h"
#include "kernels/cuda/attention/tile_rows.h"
#include "kernels/cuda/attention/tile_shape.h"
#include "kernels/cuda/attention/tile_softmax.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/warp.h"

// Attention over cache rows in bf16, int8 or fp8, on tensor cores. A block takes 16 or 32 query
// rows (the columns of its products) over one part of the context, 64 positions at a time, so that
// one reading of a latent serves its score and its sum with every head. Decode steps are bound by
// reading the rows: the next tile is on its way while one is computed. Queries and weights count as
// two bf16 parts. Scales of rows multiply the scores of a group of latents, and weights: no
// element.

namespace hadal::cuda {
namespace {

template <int kColumns, bool kHasScales>
__host__ __device__ SharedLayout LayoutFor(const Attention& attention) {
  return LayoutOf(static_cast<int>(attention.cache.row_width),
                  kColumns,
                  kHasScales ? static_cast<int>(attention.row_bytes) : 0);
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

// scores += rows · queriesᵀ over chunks [begin, end): the warp's 16 positions x its columns.
template <int kColumns>
__device__ void MultiplyChunks(std::byte* rows,
                               std::byte* queries,
                               int row_bytes,
                               int begin,
                               int end,
                               float (&scores)[Columns<kColumns>::kScoreTiles][4]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int bit0 = lane / 8 % 2;
  const int bit1 = lane / 16;
  const int first_tile = warp / kScoreWarps * Columns<kColumns>::kScoreTiles;
#pragma unroll 2
  for (int chunk = begin; chunk < end; chunk += 2) {
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

// The same of whole rows. A group's part is multiplied by its scales [16][kTileGroups], where there
// are any; the key has none.
template <int kColumns, bool kHasScales>
__device__ void MultiplyScores(std::byte* rows,
                               std::byte* queries,
                               int row_bytes,
                               int rank,
                               const float* scales,
                               float (&scores)[Columns<kColumns>::kScoreTiles][4]) {
  MultiplyChunks<kColumns>(
      rows, queries, row_bytes, kHasScales ? rank / 8 : 0, row_bytes / 16, scores);
  if constexpr (kHasScales) {
    constexpr int kGroupChunks = kLatentGroup / 8;
#pragma unroll 1
    for (int group = 0; group < kTileGroups; ++group) {
      const int begin = group * kGroupChunks;
      float sums[Columns<kColumns>::kScoreTiles][4] = {};
      MultiplyChunks<kColumns>(
          rows, queries, row_bytes, begin, min(begin + kGroupChunks, rank / 8), sums);
#pragma unroll
      for (int i = 0; i < Columns<kColumns>::kScoreTiles * 4; ++i) {
        const float scale = scales[i % 4 / 2 * 8 * kTileGroups + group];
        scores[i / 4][i % 4] = fmaf(sums[i / 4][i % 4], scale, scores[i / 4][i % 4]);
      }
    }
  }
}

// latents = latents * factors + rowsᵀ · weightsᵀ: the warp's dimensions x all columns.
template <int kColumns, bool kHasScales>
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
    const auto load_weights = [&](int group) {
#pragma unroll
      for (int i = 0; i < kTiles; ++i) {
        const int column = (group * 2 + bit1) * kColumns + i * 8 + lane % 8;
        LoadMatrices(weight[i], weights + column * kWeightBytes + (k + bit0 * 8) * 2);
      }
    };
    if constexpr (!kHasScales) {
      load_weights(0);
    }
#pragma unroll
    for (int d = 0; d < kDimTiles; ++d) {
      const int dim_tile = warp + d * kTileWarps;
      if (dim_tile * 16 < rank) {
        if constexpr (kHasScales) {
          load_weights(d);
        }
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
template <int kColumns, bool kHasScales>
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
  const SharedLayout layout = LayoutFor<kColumns, kHasScales>(attention);
  std::byte* shared = DynamicShared();
  auto* exchange = reinterpret_cast<float*>(shared + layout.exchange);
  auto* factors = reinterpret_cast<float*>(shared + layout.factors);
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int row = static_cast<int>(threadIdx.x) / kWarpSize % kScoreWarps * 16 + lane / 4;
  const TileRows<kHasScales> tile_rows = {
      .attention = attention, .table = tile.table, .end = end, .shared = shared, .layout = layout};

  tile_rows.Begin(begin);
  LoadQueries<kColumns>(attention, tile, shared + layout.queries);
  Softmax<kColumns> softmax;
  softmax.Begin(attention, tile);
  float latents[kDimTiles][Columns<kColumns>::kTiles][4] = {};
#pragma unroll 1
  for (int64_t s = begin; s < end; s += kTilePositions) {
    std::byte* rows = tile_rows.Take(s);
    float scores[Columns<kColumns>::kScoreTiles][4] = {};
    MultiplyScores<kColumns, kHasScales>(rows,
                                         shared + layout.queries,
                                         layout.row_bytes,
                                         rank,
                                         tile_rows.Scales() + row * kTileGroups,
                                         scores);
    softmax.Mask(scores, static_cast<int>(s) + row, attention.softmax_scale, exchange);
    __syncthreads();
    softmax.template Weigh<kHasScales>(
        scores, row, exchange, tile_rows.Scales(), shared + layout.weights, factors);
    if (!kHasScales && s + kTilePositions - 1 > first_position) {
      tile_rows.ClearNonFinite(s);
    }
    __syncthreads();
    MultiplyLatents<kColumns, kHasScales>(
        rows, layout.row_bytes, shared + layout.weights, factors, rank, latents);
    __syncthreads();
  }
  softmax.End(attention, tile, part, exchange);
  StoreLatents<kColumns>(attention, tile, part, latents);
}

// The widest tile fits in the shared memory that a block may have.
constexpr int kMaxStoredBytes = LatentKeyOffset(kMaxRank) + 64 * 2;
static_assert(LayoutOf(kMaxRank + 64, 32, 0).size_bytes <= 227 << 10);
static_assert(LayoutOf(kMaxRank + 64, 32, kMaxStoredBytes).size_bytes <= 227 << 10);

template <int kColumns, bool kHasScales>
void LaunchTiles(const Attention& attention) {
  const int64_t num_tiles =
      MaxQueryTiles(attention.num_tokens, attention.num_sequences, attention.num_heads, kColumns);
  const SharedLayout layout = LayoutFor<kColumns, kHasScales>(attention);
  Launch(
      "attend_tile",
      AttendTile<kColumns, kHasScales>,
      {.grid = dim3(static_cast<unsigned>(num_tiles), static_cast<unsigned>(attention.num_parts)),
       .threads = kTileThreads,
       .shared_bytes = static_cast<size_t>(layout.size_bytes)},
      attention);
}

}  // namespace

bool TakesTiles(const Attention& attention) {
  const LatentCache& cache = attention.cache;
  const int64_t rope_dim = cache.row_width - cache.kv_lora_rank;
  return cache.dtype != DType::kF32 && cache.kv_lora_rank % 64 == 0 && rope_dim % 64 == 0 &&
         cache.kv_lora_rank <= kMaxRank && rope_dim <= 64 && attention.row_bytes % 16 == 0 &&
         reinterpret_cast<uintptr_t>(cache.rows) % 16 == 0;
}

// Bits are the same with either width.
void AttendTiles(const Attention& attention) {
  const bool has_wide_tiles =
      attention.num_tokens * attention.num_heads >= 32 * attention.num_sequences;
  if (HasLatentScales(attention.cache.dtype)) {
    (has_wide_tiles ? LaunchTiles<32, true> : LaunchTiles<16, true>)(attention);
  } else {
    (has_wide_tiles ? LaunchTiles<32, false> : LaunchTiles<16, false>)(attention);
  }
}

}  // namespace hadal::cuda
