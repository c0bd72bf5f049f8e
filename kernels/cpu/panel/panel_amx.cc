#include "kernels/cpu/amx/hardware_tiles.h"
#include "kernels/cpu/panel/amx_loops.h"

namespace hadal::cpu {
namespace {

// With fewer input rows than these, reading weights is what takes the time, and VNNI keeps up.
constexpr int64_t kLeastTileInputs = 8;

void Int8Tile(const PanelTile& tile) {
  if (tile.x.count < kLeastTileInputs) {
    return Avx512Panels().int8_tile(tile);
  }
  AmxLoops<HardwareTiles>::Int8Tile(tile);
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
