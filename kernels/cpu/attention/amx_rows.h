#pragma once

// Cache rows of bf16 as the tile registers take them (see amx/hardware_tiles.h).

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/amx/tile_shape.h"
#include "kernels/cpu/attention/lane_kernels.h"

namespace hadal::cpu {

/// Rows and columns of a tile of floats, and the columns or positions that one product sums over.
inline constexpr int64_t kTileSide = 16;
inline constexpr int64_t kStepLength = 32;

/// The rows of a position tile.
template <typename Simd>
struct AmxRows {
  static constexpr int64_t kNumTiles = kPositionTile / kTileSide;
  static constexpr int64_t kNumSteps = kPositionTile / kStepLength;

  // kTileSide rows that lie `stride` bytes apart.
  struct RowTile {
    const std::byte* rows;
    int64_t stride;
  };

  const PositionTile& positions;
  std::array<RowTile, kNumTiles> tiles = {};

  // The rows whose values are taken; null for others, which are 0 in `pairs`.
  std::array<const std::byte*, kPositionTile> values = {};
  bool has_bad_rows = false;

  // [rank / 32, 2, kNumSteps] tiles, each of 16 pairs of rows times 16 columns. Pair i of a step is
  // of its rows i and i + 16; the columns are the even ones of 32, then the odd ones, so that two
  // rows are paired without moving elements.
  std::byte* pairs;

  explicit AmxRows(const PositionTile& tile)
      : positions(tile), pairs(reinterpret_cast<std::byte*>(tile.widened)) {
    std::byte* copies = pairs + kPositionTile * tile.kv_lora_rank * int64_t{sizeof(bf16)};
    for (int64_t i = 0; i * kTileSide < tile.num_rows; ++i) {
      const int64_t first = i * kTileSide;
      tiles[static_cast<size_t>(i)] = Find(first, copies + first * tile.row_bytes);
    }
    std::copy_n(tile.stored, tile.num_rows, values.begin());
  }

  // Leaves out the values of rows with a NaN or an infinity: 0 times them would reach lanes that
  // don't see the row. What makes those NaN that do is up to the caller.
  void LeaveOutBadRows() {
    for (int64_t row = 0; row < positions.num_rows; ++row) {
      const std::byte*& value = values[static_cast<size_t>(row)];
      if (!IsFinite(value)) {
        value = nullptr;
        has_bad_rows = true;
      }
    }
  }

  // Makes the pairs of columns [32 * group, 32 * group + 32).
  void MakePairs(int64_t group) {
    const int64_t offset = group * kTileRowBytes;
    const auto load = [this, offset](int64_t row) {
      const std::byte* value = values[static_cast<size_t>(row)];
      return value == nullptr ? Simd::Zero() : Simd::LoadBytes(value + offset);
    };
    for (int64_t row = 0; row < positions.num_rows; row += kStepLength) {
      std::byte* even = pairs + (group * 2 * kNumSteps + row / kStepLength) * kTileBytes;
      for (int64_t i = 0; i < kTileSide; ++i, even += kTileRowBytes) {
        const auto first = load(row + i);
        const auto second = load(row + i + kTileSide);
        Simd::StoreBytes(even, Simd::PairLower(first, second));
        Simd::StoreBytes(even + kNumSteps * kTileBytes, Simd::PairUpper(first, second));
      }
    }
  }

 private:
  // Rows [first, first + kTileSide): where they are, if they lie evenly, else copies.
  [[nodiscard]] RowTile Find(int64_t first, std::byte* copies) const {
    const std::byte* const* rows = positions.stored + first;
    const auto distance = [rows](int64_t i) {
      return reinterpret_cast<intptr_t>(rows[i + 1]) - reinterpret_cast<intptr_t>(rows[i]);
    };
    int64_t i = 1;
    while (i + 1 < kTileSide && distance(i) == distance(0)) {
      ++i;
    }
    if (i + 1 == kTileSide) {
      return {.rows = rows[0], .stride = distance(0)};
    }
    for (i = 0; i < kTileSide; ++i) {
      std::memcpy(
          copies + i * positions.row_bytes, rows[i], static_cast<size_t>(positions.row_bytes));
    }
    return {.rows = copies, .stride = positions.row_bytes};
  }

  // Of a row's latent.
  [[nodiscard]] bool IsFinite(const std::byte* row) const {
    constexpr uint32_t kExponent = 0x7F80U;
    const auto* elements = reinterpret_cast<const bf16*>(row);
    return std::none_of(elements, elements + positions.kv_lora_rank, [](bf16 element) {
      return (element.bits & kExponent) == kExponent;
    });
  }
};

}  // namespace hadal::cpu
