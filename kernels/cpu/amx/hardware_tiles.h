#pragma once

// Loops over tile registers are written once over a type of tiles: the processor's, or one that
// computes the same in plain loops, for machines without AMX. There are eight tiles, numbered 0..7
// in template arguments, with rows of 64 bytes:
//
//   Configure(rows0, rows1)      tiles 0, 1, 4 hold rows0 rows, tiles 2, 3, 5 hold rows1, 6 and 7
//                                hold 16; no change when that is how they are
//   Zero<kTile>()
//   Load<kTile>(data, stride)    rows that lie `stride` bytes apart
//   Store<kTile>(data, stride)
//   DotSignedUnsigned<kSum, kA, kB>()  kSum[m][n] += the sum over i < 16 and c < 4 of the products
//                                      of signed kA[m][4i + c] and unsigned kB[i][4n + c], in int32
//   DotBf16<kSum, kA, kB>()      kSum[m][n] += the sum over i < 16 and c < 2 of the products of
//                                bf16 kA[m][2i + c] and kB[i][2n + c], in float; subnormal numbers
//                                count as 0

#include <array>
#include <cstddef>
#include <cstdint>

namespace hadal::cpu {

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

  template <int kSum, int kA, int kB>
  static void DotBf16() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kA), "i"(kB));
  }
};

}  // namespace hadal::cpu
