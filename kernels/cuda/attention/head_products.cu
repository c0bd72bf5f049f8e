#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/attention/head_input.h"
#include "kernels/cuda/attention/head_tile.h"
#include "kernels/cuda/attention/swizzle.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/warp.h"

// Products of each head's rows with its part of kv_b_proj in bf16 or fp8, on tensor cores: y = A x,
// with A = U_hᵀ or V_h. Decode steps are bound by reading A, which one block keeps whole in flight:
// 64 of its rows, with the published rank 64 KB in bf16. Elements of fp8 are exact in bf16; sums
// over the columns that have one scale are multiplied by it.

namespace hadal::cuda {
namespace {

constexpr int64_t kMaxInner = 512;
using Sums = float[kHeadTokens / 8][4];

// Of an fp8 weight, and where a head's rows lie in it.
struct HeadScales {
  const float* scales;
  int block_rows;
  int block_cols;
  int scales_per_row;
  int first_row;  // of head 0
  int head_rows;  // from one head to the next
};

struct HeadProduct {
  const void* a;          // of head 0
  int64_t head_distance;  // elements from one head to the next
  int64_t a_stride;       // of its rows in memory: of A, or of Aᵀ
  int64_t inner;          // columns of A
  HeadScales scales;
  HeadInput input;
  float* y;  // [num_tokens, num_heads, rows of A]
  int64_t y_token_stride;
  int64_t y_head_stride;
};

// The cuts of a block's inner columns, each with one scale for a row of A. Blocks of scales begin
// at multiples of block_rows in kv_b_proj, where a head need not begin.
template <bool kTransposed>
struct ScaleCuts {
  const HeadScales& scales;
  int inner;

  __device__ int FirstRow() const {
    return scales.first_row + static_cast<int>(blockIdx.y) * scales.head_rows;
  }
  __device__ int Width() const { return kTransposed ? scales.block_rows : scales.block_cols; }
  __device__ int Offset() const { return kTransposed ? FirstRow() % scales.block_rows : 0; }
  __device__ int Count() const { return (Offset() + inner + Width() - 1) / Width(); }
  __device__ int Begin(int cut) const { return max(0, cut * Width() - Offset()); }
  __device__ int End(int cut) const { return min(inner, (cut + 1) * Width() - Offset()); }

  // Of each cut and row of the block, [Count(), kHeadRows].
  __device__ void Load(float* shared_scales) const {
    const int count = Count();
    for (int i = static_cast<int>(threadIdx.x); i < count * kHeadRows; i += kHeadThreads) {
      const int row = static_cast<int>(blockIdx.x) * kHeadRows + i % kHeadRows;
      const int column = Begin(i / kHeadRows);
      const int block_row = (FirstRow() + (kTransposed ? column : row)) / scales.block_rows;
      const int block_col = (kTransposed ? row : column) / scales.block_cols;
      shared_scales[i] = scales.scales[block_row * scales.scales_per_row + block_col];
    }
  }
};

// Adds the products of a warp's 16 rows with all tokens over columns [begin, end); returns what
// HeadTile::Load does, of all of them.
template <typename Tile>
__device__ __forceinline__ uint32_t
MultiplyColumns(const Tile& tile, std::byte* shared_x, int inner, int begin, int end, Sums& sums) {
  const auto lane = static_cast<int>(threadIdx.x) % kWarpSize;
  uint32_t nan_bits = 0;
  for (int k = begin; k < end; k += kHeadStep) {
    uint32_t fragments[2][4];
    nan_bits |= tile.Load(k, fragments);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int n = 0; n < kHeadTokens / 8; ++n) {
        const int row = lane / 16 * kHeadTokens + n * 8 + lane % 8;
        uint32_t x[4];  // the high part's two registers, then the low part's
        LoadMatrices(x, SwizzledChunk(shared_x, inner * 2, row, k / 8 + half * 2 + lane / 8 % 2));
        const uint32_t high[2] = {x[0], x[1]};
        const uint32_t low[2] = {x[2], x[3]};
        MultiplyBf16(sums[n], fragments[half], low);
        MultiplyBf16(sums[n], fragments[half], high);
      }
    }
  }
  return nan_bits;
}

// The same over all columns in fp8. A NaN among the weights makes all sums of the warp NaN.
template <typename Tile, bool kTransposed>
__device__ __forceinline__ void MultiplyScaled(const Tile& tile,
                                               std::byte* shared_x,
                                               const ScaleCuts<kTransposed>& cuts,
                                               const float* shared_scales,
                                               Sums& totals) {
  uint32_t nan_bits = 0;
  const int count = cuts.Count();
  for (int cut = 0; cut < count; ++cut) {
    Sums sums = {};
    nan_bits |= MultiplyColumns(tile, shared_x, cuts.inner, cuts.Begin(cut), cuts.End(cut), sums);
#pragma unroll
    for (int i = 0; i < kHeadTokens / 8 * 4; ++i) {
      const float scale = shared_scales[cut * kHeadRows + Tile::RowOf(i % 4 / 2)];
      totals[i / 4][i % 4] = fmaf(scale, sums[i / 4][i % 4], totals[i / 4][i % 4]);
    }
  }
  if (__ballot_sync(kAllLanes, nan_bits != 0) != 0) {
#pragma unroll
    for (int i = 0; i < kHeadTokens / 8 * 4; ++i) {
      totals[i / 4][i % 4] = NAN;
    }
  }
}

// The block's shared memory behind A's rows: inputs, what joins them, scales.
constexpr int InputBytes(int inner) {
  return 2 * kHeadTokens * inner * static_cast<int>(sizeof(bf16));
}
constexpr int FactorBytes(int64_t num_parts) {
  return num_parts > 0 ? static_cast<int>(sizeof(PartFactors)) : 0;
}

// A block for 64 rows of A (x), a head (y) and 16 tokens (z). With kTransposed, memory holds Aᵀ,
// and inputs are not in parts.
template <typename Weight, bool kTransposed>
__global__ void __launch_bounds__(kHeadThreads) MultiplyHead(HeadProduct product) {
  using Tile = HeadTile<Weight, kTransposed>;
  LetNextKernelBegin();
  const auto inner = static_cast<int>(product.inner);
  const Tile tile = {DynamicShared()};
  std::byte* shared_x = tile.shared + Tile::Bytes(inner);
  std::byte* behind_x = shared_x + InputBytes(inner);
  auto* shared_scales = reinterpret_cast<float*>(behind_x + FactorBytes(product.input.num_parts));
  const ScaleCuts<kTransposed> cuts = {product.scales, inner};

  // 1. Weights, then x.
  const int64_t first_row = int64_t{blockIdx.x} * kHeadRows;
  tile.Copy(static_cast<const Weight*>(product.a) + blockIdx.y * product.head_distance +
                first_row * (kTransposed ? 1 : product.a_stride),
            product.a_stride,
            inner);
  CommitCopies();
  if constexpr (Tile::kIsFp8) {
    cuts.Load(shared_scales);
  }
  WaitForEarlierKernels();
  PartFactors* factors = nullptr;
  if (!kTransposed && product.input.num_parts > 0) {
    factors = reinterpret_cast<PartFactors*>(behind_x);
    FindPartFactors<kHeadThreads>(product.input, *factors);
    __syncthreads();
  }
  SplitTokens<Tile, kHeadThreads>(product.input, inner, factors, shared_x);
  WaitForCopies<0>();
  __syncthreads();

  // 2. Products.
  Sums sums = {};
  if constexpr (Tile::kIsFp8) {
    MultiplyScaled(tile, shared_x, cuts, shared_scales, sums);
  } else {
    MultiplyColumns(tile, shared_x, inner, 0, inner, sums);
  }

  // 3. Out.
  const auto lane = static_cast<int>(threadIdx.x) % kWarpSize;
#pragma unroll
  for (int i = 0; i < kHeadTokens / 8 * 4; ++i) {
    const int64_t token = int64_t{blockIdx.z} * kHeadTokens + i / 4 * 8 + lane % 4 * 2 + i % 2;
    const int64_t row = first_row + Tile::RowOf(i % 4 / 2);
    if (token < product.input.num_tokens) {
      product.y[token * product.y_token_stride + blockIdx.y * product.y_head_stride + row] =
          sums[i / 4][i % 4];
    }
  }
}

template <typename Weight, bool kTransposed>
void LaunchProduct(const char* name,
                   const KvUp& up,
                   const HeadInput& input,
                   const TensorView<float, 3>& y) {
  using Tile = HeadTile<Weight, kTransposed>;
  const WeightMatrix& whole = up.weights.whole;
  const int64_t head_rows = up.nope_dim + up.v_head_dim;
  const int64_t first_row = kTransposed ? 0 : up.nope_dim;
  const auto inner = static_cast<int>(kTransposed ? up.nope_dim : up.kv_lora_rank);
  HeadProduct product = {
      .a = static_cast<const Weight*>(whole.payload) + first_row * up.kv_lora_rank,
      .head_distance = head_rows * up.kv_lora_rank,
      .a_stride = up.kv_lora_rank,
      .inner = inner,
      .scales = {},
      .input = input,
      .y = y.data,
      .y_token_stride = y.strides[0],
      .y_head_stride = y.strides[1]};
  int shared_bytes = Tile::Bytes(inner) + InputBytes(inner) + FactorBytes(input.num_parts);
  if constexpr (Tile::kIsFp8) {
    product.scales = {
        .scales = whole.scales,
        .block_rows = static_cast<int>(whole.block_rows),
        .block_cols = static_cast<int>(whole.block_cols),
        .scales_per_row = static_cast<int>((whole.cols + whole.block_cols - 1) / whole.block_cols),
        .first_row = static_cast<int>(first_row),
        .head_rows = static_cast<int>(head_rows)};
    const auto width = static_cast<int>(kTransposed ? whole.block_rows : whole.block_cols);
    const int most_cuts = (inner + width - 1) / width + 1;
    shared_bytes += most_cuts * kHeadRows * static_cast<int>(sizeof(float));
  }
  const dim3 grid(static_cast<unsigned>(y.extent(2) / kHeadRows),
                  static_cast<unsigned>(y.extent(1)),
                  static_cast<unsigned>((y.extent(0) + kHeadTokens - 1) / kHeadTokens));
  Launch(name,
         MultiplyHead<Weight, kTransposed>,
         {.grid = grid, .threads = kHeadThreads, .shared_bytes = static_cast<size_t>(shared_bytes)},
         product);
}

HeadInput InputOf(const TensorView<const float, 3>& x) {
  return {.x = x.data,
          .token_stride = x.strides[0],
          .head_stride = x.strides[1],
          .num_tokens = x.extent(0)};
}

HeadInput PartsOf(const Attention& attention) {
  const int64_t row_size = attention.num_parts * attention.cache.kv_lora_rank;
  return {.x = attention.latents,
          .token_stride = attention.num_heads * row_size,
          .head_stride = row_size,
          .num_tokens = attention.num_tokens,
          .num_parts = attention.num_parts,
          .highest = attention.highest,
          .sums = attention.sums,
          .positions = attention.positions};
}

void Project(const KvUp& up, const HeadInput& input, const TensorView<float, 3>& out) {
  const bool is_bf16 = up.weights.whole.format == WeightFormat::kBf16;
  const auto launch = is_bf16 ? LaunchProduct<bf16, false> : LaunchProduct<fp8_e4m3, false>;
  launch("project_by_tiles", up, input, out);
}

// Cuts of scales along the inner columns lie between the steps of the loop: heads begin at
// multiples of 64 rows.
bool TakesFormat(const WeightMatrix& whole) {
  return whole.format == WeightFormat::kBf16 ||
         (whole.format == WeightFormat::kFp8Block && whole.block_rows % kHeadStep == 0 &&
          whole.block_cols % kHeadStep == 0);
}

}  // namespace

bool TakesHeadProducts(const KvUp& up) {
  const WeightMatrix& whole = up.weights.whole;
  return whole.payload != nullptr && TakesFormat(whole) &&
         reinterpret_cast<uintptr_t>(whole.payload) % 16 == 0 && up.nope_dim % 64 == 0 &&
         up.kv_lora_rank % 64 == 0 && up.v_head_dim % 64 == 0 && up.nope_dim > 0 &&
         up.nope_dim <= kMaxInner && up.kv_lora_rank <= kMaxInner;
}

void AbsorbByTiles(const KvUp& up,
                   const TensorView<const float, 3>& q_nope,
                   const TensorView<float, 3>& absorbed) {
  const bool is_bf16 = up.weights.whole.format == WeightFormat::kBf16;
  const auto launch = is_bf16 ? LaunchProduct<bf16, true> : LaunchProduct<fp8_e4m3, true>;
  launch("absorb_by_tiles", up, InputOf(q_nope), absorbed);
}

void ProjectByTiles(const KvUp& up,
                    const TensorView<const float, 3>& latents,
                    const TensorView<float, 3>& out) {
  Project(up, InputOf(latents), out);
}

void ProjectPartsByTiles(const KvUp& up,
                         const Attention& attention,
                         const TensorView<float, 3>& out) {
  Project(up, PartsOf(attention), out);
}

}  // namespace hadal::cuda
