#include <immintrin.h>

#include "kernels/cpu/amx/hardware_tiles.h"
#include "kernels/cpu/panel/amx_loops.h"

namespace hadal::cpu {
namespace {

struct VectorRows {
  static void AddScaled(
      const int32_t* sums, int32_t offset, const float* weight_scales, float x_scale, float* y) {
    const __m512 values =
        _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_load_si512(sums), _mm512_set1_epi32(offset)));
    const __m512 scales = _mm512_mul_ps(_mm512_load_ps(weight_scales), _mm512_set1_ps(x_scale));
    _mm512_storeu_ps(y, _mm512_fmadd_ps(values, scales, _mm512_loadu_ps(y)));
  }
};

// With fewer input rows than these, reading weights is what takes the time, and VNNI keeps up.
constexpr int64_t kLeastTileInputs = 8;

void Int8Tile(const PanelTile& tile) {
  if (tile.x.count < kLeastTileInputs) {
    return Avx512Panels().int8_tile(tile);
  }
  AmxLoops<HardwareTiles, VectorRows>::Int8Tile(tile);
}

}  // namespace

const PanelKernels& AmxPanels() {
  static const PanelKernels kKernels = [] {
    PanelKernels kernels = Avx512Panels();
    kernels.name = "cpu-amx";
    kernels.int8_tile = &Int8Tile;
    return kernels;
  }();
  return kKernels;
}

}  // namespace hadal::cpu
