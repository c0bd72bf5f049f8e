#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/cpu/amx/tile_shape.h"
#include "kernels/cpu/tiles/split_rows.h"

namespace hadal::cpu {

static_assert(kTileBytes == kSplitTileSize * static_cast<int64_t>(sizeof(bf16)));

/// A block of products on tile registers: kWeights tiles of weights by kGroups groups of inputs,
/// 4 by 1 or at most 2 by 2. Sums are in tiles 0 to 3; 4, 5 and 7 are for weights, 6 and 7 for
/// inputs.
template <typename Tiles>
struct TileBlock {
  // Calls visit(number of the tile that holds the sums, weight tile, group) for all in a block.
  template <int kWeights, int kGroups, typename Visit>
  static void ForSums(Visit visit) {
    static_assert(kWeights * kGroups <= 4);
    visit(std::integral_constant<int, 0>(), 0, 0);
    if constexpr (kGroups == 2) {
      visit(std::integral_constant<int, 1>(), 0, 1);
    }
    if constexpr (kWeights >= 2) {
      visit(std::integral_constant<int, 2>(), 1, 0);
      if constexpr (kGroups == 2) {
        visit(std::integral_constant<int, 3>(), 1, 1);
      }
    }
    if constexpr (kWeights == 4) {
      visit(std::integral_constant<int, 1>(), 2, 0);
      visit(std::integral_constant<int, 3>(), 3, 0);
    }
  }

  // Adds to a block's sums the products of kWeights tiles of weights, `tile_stride` bytes from one
  // to the next, with rows `stride` bytes apart, and kGroups tiles of inputs.
  template <int kWeights, int kGroups>
  static void MultiplyTiles(const std::byte* weights,
                            int64_t stride,
                            int64_t tile_stride,
                            const bf16* inputs,
                            int64_t group_stride) {
    Tiles::template Load<6>(inputs, kTileRowBytes);
    Tiles::template Load<4>(weights, stride);
    Tiles::template DotBf16<0, 4, 6>();
    if constexpr (kGroups == 2) {
      Tiles::template Load<7>(inputs + group_stride, kTileRowBytes);
      Tiles::template DotBf16<1, 4, 7>();
    }
    if constexpr (kWeights >= 2) {
      Tiles::template Load<5>(weights + tile_stride, stride);
      Tiles::template DotBf16<2, 5, 6>();
      if constexpr (kGroups == 2) {
        Tiles::template DotBf16<3, 5, 7>();
      }
    }
    if constexpr (kWeights == 4) {
      Tiles::template Load<7>(weights + 2 * tile_stride, stride);
      Tiles::template DotBf16<1, 7, 6>();
      Tiles::template Load<4>(weights + 3 * tile_stride, stride);
      Tiles::template DotBf16<3, 4, 6>();
    }
  }
};

}  // namespace hadal::cpu
