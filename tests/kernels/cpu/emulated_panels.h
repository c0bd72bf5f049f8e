#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/cpu/panel/amx_loops.h"
#include "tests/kernels/cpu/emulated_tiles.h"

namespace hadal::cpu {

struct PlainRows {
  static void AddScaled(
      const int32_t* sums, int32_t offset, const float* weight_scales, float x_scale, float* y) {
    for (int64_t r = 0; r < kPanelRows; ++r) {
      y[r] = std::fma(static_cast<float>(sums[r] - offset), weight_scales[r] * x_scale, y[r]);
    }
  }
};

// The back end's loops over tiles in plain memory; the rest of cpu-portable.
inline const PanelKernels& EmulatedPanels() {
  static const PanelKernels kKernels = [] {
    PanelKernels kernels = PortablePanels();
    kernels.name = "cpu-amx, emulated";
    kernels.int8_tile = &AmxLoops<EmulatedTiles<void>, PlainRows>::Int8Tile;
    return kernels;
  }();
  return kKernels;
}

}  // namespace hadal::cpu
