#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/check.h"
#include "base/dtype.h"

namespace hadal::cpu {

// Tile registers in plain memory, as the manual defines their instructions: so that the loops over
// tiles are tested on machines without AMX too. Each thread has its own. Owner tells files that are
// compiled for different instruction sets apart, which must not share code.
template <typename Owner>
struct EmulatedTiles {
  struct Tile {
    int64_t rows = 16;
    std::array<std::array<uint8_t, 64>, 16> bytes = {};
  };
  static std::array<Tile, 8>& tiles() {
    thread_local std::array<Tile, 8> all;
    return all;
  }

  static void Configure(int64_t rows0, int64_t rows1) {
    for (const size_t tile : {0, 1, 4}) {
      tiles()[tile] = {.rows = rows0, .bytes = {}};
    }
    for (const size_t tile : {2, 3, 5}) {
      tiles()[tile] = {.rows = rows1, .bytes = {}};
    }
  }
  template <int kTile>
  static void Zero() {
    tiles()[kTile].bytes = {};
  }
  template <int kTile>
  static void Load(const void* data, int64_t stride) {
    for (int64_t row = 0; row < tiles()[kTile].rows; ++row) {
      std::memcpy(tiles()[kTile].bytes[static_cast<size_t>(row)].data(),
                  static_cast<const std::byte*>(data) + row * stride,
                  64);
    }
  }
  template <int kTile>
  static void Store(void* data, int64_t stride) {
    for (int64_t row = 0; row < tiles()[kTile].rows; ++row) {
      std::memcpy(static_cast<std::byte*>(data) + row * stride,
                  tiles()[kTile].bytes[static_cast<size_t>(row)].data(),
                  64);
    }
  }
  template <int kSum, int kA, int kB>
  static void DotSignedUnsigned() {
    CheckShapes<kSum, kA, kB>();
    for (size_t m = 0; m < static_cast<size_t>(tiles()[kSum].rows); ++m) {
      for (size_t n = 0; n < 16; ++n) {
        int32_t sum = 0;
        std::memcpy(&sum, &tiles()[kSum].bytes[m][n * 4], sizeof(sum));
        for (size_t i = 0; i < 16; ++i) {
          for (size_t c = 0; c < 4; ++c) {
            sum += static_cast<int8_t>(tiles()[kA].bytes[m][i * 4 + c]) *
                   int32_t{tiles()[kB].bytes[i][n * 4 + c]};
          }
        }
        std::memcpy(&tiles()[kSum].bytes[m][n * 4], &sum, sizeof(sum));
      }
    }
  }

  // In the manual's order: sums of even and of odd elements, each product rounded once with its
  // sum, then both, then kSum.
  template <int kSum, int kA, int kB>
  static void DotBf16() {
    CheckShapes<kSum, kA, kB>();
    const Floats a = Widen<kA>();
    const Floats b = Widen<kB>();
    Tile& result = tiles()[kSum];
    for (size_t m = 0; m < static_cast<size_t>(result.rows); ++m) {
      std::array<float, 16> row = {};
      std::memcpy(row.data(), result.bytes[m].data(), sizeof(row));
      for (size_t n = 0; n < 16; ++n) {
        float even = 0;
        float odd = 0;
        for (size_t i = 0; i < 16; ++i) {
          even = std::fma(a[m * 32 + 2 * i], b[i * 32 + 2 * n], even);
          odd = std::fma(a[m * 32 + 2 * i + 1], b[i * 32 + 2 * n + 1], odd);
        }
        row[n] += even + odd;
      }
      std::memcpy(result.bytes[m].data(), row.data(), sizeof(row));
    }
  }

 private:
  // The processor refuses other shapes.
  template <int kSum, int kA, int kB>
  static void CheckShapes() {
    static_assert(kSum != kA && kSum != kB && kA != kB);
    CHECK_EQ(tiles()[kSum].rows, tiles()[kA].rows);
    CHECK_EQ(tiles()[kB].rows, 16);
  }

  using Floats = std::array<float, 16 * 32>;

  template <int kTile>
  static Floats Widen() {
    Floats floats = {};
    for (size_t i = 0; i < floats.size(); ++i) {
      bf16 value;
      std::memcpy(&value, &tiles()[kTile].bytes[i / 32][i % 32 * 2], sizeof(value));
      const float wide = ToFloat(value);
      floats[i] = std::fpclassify(wide) == FP_SUBNORMAL ? 0.0F : wide;
    }
    return floats;
  }
};

}  // namespace hadal::cpu
