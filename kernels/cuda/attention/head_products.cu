#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/attention/swizzle.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/warp.h"

// Products of each head's rows with its part of kv_b_proj in bf16, on tensor cores: y = A x, with
// A = U_hᵀ or V_h. Decode steps are bound by reading A, which one block keeps whole in flight: 64
// of its rows, 64 KB with the published rank.

namespace hadal::cuda {
namespace {

constexpr int kRows = 64;  // of A in a block, 16 in a warp
constexpr int kThreads = kRows / 16 * kWarpSize;
constexpr int kTokens = 16;     // of a block
constexpr int kRowBytes = 128;  // of 64 numbers in bf16
constexpr int64_t kMaxInner = 512;

struct HeadProduct {
  const bf16* a;          // of head 0
  int64_t head_distance;  // elements from one head to the next
  int64_t a_stride;       // of its rows in memory: of A, or of Aᵀ
  int64_t inner;          // columns of A
  const float* x;         // [num_tokens, num_heads, inner]
  int64_t x_token_stride;
  int64_t x_head_stride;
  float* y;  // [num_tokens, num_heads, rows of A]
  int64_t y_token_stride;
  int64_t y_head_stride;
  int64_t num_tokens;
};

// Shared: inner / 64 squares of A [64][64]; then of x, high parts and low [2 * kTokens][inner].
size_t SharedBytes(int64_t inner) {
  return static_cast<size_t>((kRows + 2 * kTokens) * inner) * sizeof(bf16);
}

// x of the block's tokens in two parts, zeros behind the last token.
__device__ void SplitTokens(const HeadProduct& product, std::byte* shared_x) {
  const auto inner = static_cast<int>(product.inner);
  const int64_t first = int64_t{blockIdx.z} * kTokens;
  for (int i = static_cast<int>(threadIdx.x) * 2; i < kTokens * inner; i += kThreads * 2) {
    const int token = i / inner;
    const int column = i % inner;
    float2 pair = make_float2(0, 0);
    if (first + token < product.num_tokens) {
      const float* x = product.x + (first + token) * product.x_token_stride +
                       blockIdx.y * product.x_head_stride + column;
      pair = make_float2(x[0], x[1]);
    }
    const SplitPair split = Split(pair.x, pair.y);
    const auto place = [&](int row) {
      std::byte* chunk = SwizzledChunk(shared_x, inner * 2, row, column / 8);
      return reinterpret_cast<uint32_t*>(chunk + column % 8 * 2);
    };
    *place(token) = split.high;
    *place(kTokens + token) = split.low;
  }
}

// A block for 64 rows of A (x), a head (y) and 16 tokens (z). With kTransposed, memory holds Aᵀ.
template <bool kTransposed>
__global__ void __launch_bounds__(kThreads) MultiplyHead(HeadProduct product) {
  LetNextKernelBegin();
  const auto thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarpSize;
  const int warp = thread / kWarpSize;
  const auto inner = static_cast<int>(product.inner);
  std::byte* shared_a = DynamicShared();
  std::byte* shared_x = shared_a + kRows * inner * 2;
  const int64_t first_row = int64_t{blockIdx.x} * kRows;

  // 1. A's squares: rows of A by inner columns, or the other way round.
  const bf16* a = product.a + blockIdx.y * product.head_distance;
  for (int i = thread; i < kRows * inner / 8; i += kThreads) {
    const int square = i / (kRows * 8);
    const int row = i / 8 % kRows;
    const int chunk = i % 8;
    const bf16* from = kTransposed
                           ? a + (square * 64 + row) * product.a_stride + first_row + chunk * 8
                           : a + (first_row + row) * product.a_stride + square * 64 + chunk * 8;
    std::byte* to = shared_a + square * kRows * kRowBytes;
    CopyAsync16(SwizzledChunk(to, kRowBytes, row, chunk), from, 16);
  }
  CommitCopies();
  WaitForEarlierKernels();
  SplitTokens(product, shared_x);
  WaitForCopies<0>();
  __syncthreads();

  // 2. A warp's 16 rows with all tokens.
  const int low8 = lane % 8;
  const int bit0 = lane / 8 % 2;
  const int bit1 = lane / 16;
  float sums[kTokens / 8][4] = {};
  for (int k = 0; k < inner; k += 16) {
    std::byte* square = shared_a + k / 64 * kRows * kRowBytes;
    uint32_t fragment[4];
    if constexpr (kTransposed) {
      LoadMatricesTransposed(
          fragment, SwizzledChunk(square, kRowBytes, k % 64 + bit1 * 8 + low8, warp * 2 + bit0));
    } else {
      LoadMatrices(
          fragment,
          SwizzledChunk(square, kRowBytes, warp * 16 + bit0 * 8 + low8, k % 64 / 8 + bit1));
    }
#pragma unroll
    for (int tile = 0; tile < kTokens / 8; ++tile) {
      uint32_t x[4];  // the high part's two registers, then the low part's
      LoadMatrices(
          x, SwizzledChunk(shared_x, inner * 2, bit1 * kTokens + tile * 8 + low8, k / 8 + bit0));
      const uint32_t high[2] = {x[0], x[1]};
      const uint32_t low[2] = {x[2], x[3]};
      MultiplyBf16(sums[tile], fragment, low);
      MultiplyBf16(sums[tile], fragment, high);
    }
  }

  // 3. Out.
#pragma unroll
  for (int i = 0; i < kTokens / 8 * 4; ++i) {
    const int64_t token = int64_t{blockIdx.z} * kTokens + i / 4 * 8 + lane % 4 * 2 + i % 2;
    const int64_t row = first_row + warp * 16 + lane / 4 + i % 4 / 2 * 8;
    if (token < product.num_tokens) {
      product.y[token * product.y_token_stride + blockIdx.y * product.y_head_stride + row] =
          sums[i / 4][i % 4];
    }
  }
}

template <bool kTransposed>
void LaunchProduct(const char* name,
                   const KvUp& up,
                   int64_t first_row,
                   const TensorView<const float, 3>& x,
                   const TensorView<float, 3>& y) {
  const HeadProduct product = {
      .a = static_cast<const bf16*>(up.weights.whole.payload) + first_row * up.kv_lora_rank,
      .head_distance = (up.nope_dim + up.v_head_dim) * up.kv_lora_rank,
      .a_stride = up.kv_lora_rank,
      .inner = x.extent(2),
      .x = x.data,
      .x_token_stride = x.strides[0],
      .x_head_stride = x.strides[1],
      .y = y.data,
      .y_token_stride = y.strides[0],
      .y_head_stride = y.strides[1],
      .num_tokens = x.extent(0)};
  const dim3 grid(static_cast<unsigned>(y.extent(2) / kRows),
                  static_cast<unsigned>(x.extent(1)),
                  static_cast<unsigned>((x.extent(0) + kTokens - 1) / kTokens));
  Launch(name,
         MultiplyHead<kTransposed>,
         {.grid = grid, .threads = kThreads, .shared_bytes = SharedBytes(product.inner)},
         product);
}

}  // namespace

bool TakesHeadProducts(const KvUp& up) {
  const WeightMatrix& whole = up.weights.whole;
  return whole.payload != nullptr && whole.format == WeightFormat::kBf16 &&
         reinterpret_cast<uintptr_t>(whole.payload) % 16 == 0 && up.nope_dim % 64 == 0 &&
         up.kv_lora_rank % 64 == 0 && up.v_head_dim % 64 == 0 && up.nope_dim > 0 &&
         up.nope_dim <= kMaxInner && up.kv_lora_rank <= kMaxInner;
}

void AbsorbByTiles(const KvUp& up,
                   const TensorView<const float, 3>& q_nope,
                   const TensorView<float, 3>& absorbed) {
  LaunchProduct<true>("absorb_by_tiles", up, 0, q_nope, absorbed);
}

void ProjectByTiles(const KvUp& up,
                    const TensorView<const float, 3>& latents,
                    const TensorView<float, 3>& out) {
  LaunchProduct<false>("project_by_tiles", up, up.nope_dim, latents, out);
}

}  // namespace hadal::cuda
