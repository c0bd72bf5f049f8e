#pragma once

#include <array>
#include <cstdint>

#include "base/dtype.h"
#include "kernels/cpu/attention/lane_kernels.h"
#include "kernels/cpu/panel/panel_kernels.h"
#include "kernels/cpu/tiles/tile_kernels.h"
#include "kernels/latent_cache.h"

namespace hadal::cpu {

/// Instruction sets that the CPU back end is compiled for, weakest first.
enum class Isa : int8_t { kPortable, kAvx2, kAvx512, kAmx };

/// What a dot-product tile holds at most, each way.
inline constexpr int64_t kTile = 4;

/// Sums of a tile: [x row][weight row].
using TileSums = std::array<std::array<float, kTile>, kTile>;

/// The inner loops of the CPU ops for one instruction set. Each is a plain function of its
/// arguments; a sum is taken in the same order whatever the tile's height and width are, so that
/// results do not depend on how rows were grouped.
struct VectorKernels {
  const char* name;

  /// y[0..n) = x[0..n) as float.
  void (*widen_bf16)(const bf16* x, int64_t n, float* y);
  void (*widen_f16)(const f16* x, int64_t n, float* y);

  /// y[0..n) = x[0..n) as float, times scale.
  void (*widen_fp8)(const fp8_e4m3* x, float scale, int64_t n, float* y);

  /// sums[i][j] += dot(x[i], w + j * w_stride) over n elements, for i < num_x and j < num_w, both
  /// at most kTile.
  void (*dot_tile)(const std::array<const float*, kTile>& x,
                   int64_t num_x,
                   const float* w,
                   int64_t w_stride,
                   int64_t num_w,
                   int64_t n,
                   TileSums& sums);

  /// The same sums where w is not widened before: for weights that few rows of x meet.
  void (*dot_tile_bf16)(const std::array<const float*, kTile>& x,
                        int64_t num_x,
                        const bf16* w,
                        int64_t w_stride,
                        int64_t num_w,
                        int64_t n,
                        TileSums& sums);

  /// y[i][0..n) += sum over j < num_x of a[i][j] * x[j], the row at x + j * x_stride, with j
  /// rising, for i < num_y, which is at most kTile.
  void (*axpy_tile)(const std::array<const float*, kTile>& a,
                    int64_t num_y,
                    const float* x,
                    int64_t x_stride,
                    int64_t num_x,
                    int64_t n,
                    const std::array<float*, kTile>& y);

  /// y[0..n) = silu(gate) * up, silu(a) = a / (1 + exp(-a)). y may be `gate`.
  void (*silu_multiply)(const float* gate, const float* up, int64_t n, float* y);

  /// Those of products with quantised weights.
  const PanelKernels& (*panels)();

  /// Those of products with native weights on tile registers. Null without them.
  const TileKernels& (*tiles)();

  /// Those of absorbed attention over rows of this cache: its dtype and widths decide.
  LaneKernels (*lanes)(const LatentCache& cache);
};

/// True when this machine, and its operating system, can run `isa`.
bool IsSupported(Isa isa);

/// REQUIRES: IsSupported(isa) before any of the functions is called.
const VectorKernels& VectorKernelsOf(Isa isa);

const VectorKernels& PortableKernels();
const VectorKernels& Avx2Kernels();
const VectorKernels& Avx512Kernels();

/// Avx512Kernels with the products that AMX has.
const VectorKernels& AmxKernels();

}  // namespace hadal::cpu
