#include "kernels/cpu/panel/amx_loops.h"

namespace hadal::cpu {
namespace {

// The operand of LDTILECFG, palette 1 (Intel 64 and IA-32 Architectures Software Developer's
// Manual, volume 1, section 18.3).
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  std::array<uint8_t, 14> reserved = {};
  std::array<uint16_t, 16> bytes_per_row = {64, 64, 64, 64, 64, 64, 64, 64};
  std::array<uint8_t, 16> rows = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);

// Tile registers keep their configuration until the thread ends; nobody else uses them. In
// assembly, since GCC 12's intrinsics do not tell the compiler which memory they touch, and take no
// template arguments as tiles.
struct HardwareTiles {
  static void Configure(int64_t rows0, int64_t rows1) {
    struct Rows {
      int64_t rows0 = 0;
      int64_t rows1 = 0;
    };
    thread_local Rows current;
    if (current.rows0 == rows0 && current.rows1 == rows1) {
      return;
    }
    current = {.rows0 = rows0, .rows1 = rows1};
    TileConfig config;
    for (const size_t tile : {0, 1, 4}) {
      config.rows[tile] = static_cast<uint8_t>(rows0);
    }
    for (const size_t tile : {2, 3, 5}) {
      config.rows[tile] = static_cast<uint8_t>(rows1);
    }
    asm volatile("ldtilecfg %0" : : "m"(config) : "memory");
  }

  template <int kTile>
  static void Zero() {
    asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
  }

  template <int kTile>
  static void Load(const void* data, int64_t stride) {
    asm volatile("tileloadd (%1,%2,1), %%tmm%c0" : : "i"(kTile), "r"(data), "r"(stride) : "memory");
  }

  template <int kTile>
  static void Store(void* data, int64_t stride) {
    asm volatile("tilestored %%tmm%c0, (%1,%2,1)"
                 :
                 : "i"(kTile), "r"(data), "r"(stride)
                 : "memory");
  }

  template <int kSum, int kA, int kB>
  static void DotSignedUnsigned() {
    asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kA), "i"(kB));
  }
};

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
