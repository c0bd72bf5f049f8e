#include "kernels/cpu/amx/hardware_tiles.h"
#include "kernels/cpu/tiles/tile_loops.h"

namespace hadal::cpu {

const TileKernels& AmxTiles() {
  static const TileKernels kKernels = {
      .split_group = Avx512TileLanes().split_group,
      .multiply = &TileLoops<HardwareTiles, &Avx512TileLanes>::Multiply};
  return kKernels;
}

}  // namespace hadal::cpu
