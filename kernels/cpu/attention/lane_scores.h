#pragma once

// The scores of absorbed attention over a vector type, whose needs lane_loops.h names.

#include <algorithm>
#include <array>
#include <cstdint>
#include <type_traits>

#include "kernels/cpu/attention/lane_rows.h"

namespace hadal::cpu {

template <typename Simd>
struct LaneScores {
  using Vec = typename Simd::Vec;
  using Rows = LaneRows<Simd>;
  static constexpr int64_t kLanes = Simd::kLanes;

  // kVecs lane tiles side by side: what is broadcast from a row serves all of them.
  template <int kVecs>
  struct Tiles {
    static constexpr int kRun = Simd::kSums / kVecs;  // rows or columns that are summed at a time

    Vec num_rows[kVecs];  // NOLINT(*-avoid-c-arrays): that each lane sees
    std::array<const float*, kVecs> q;
    std::array<float*, kVecs> states;
    int64_t all_see = kPositionTile;  // how many rows all lanes see
    int64_t any_sees = 0;             // how many rows any lane sees

    explicit Tiles(const LaneTile* tiles) {
      for (int v = 0; v < kVecs; ++v) {
        alignas(64) std::array<float, kLanes> visible;
        for (size_t i = 0; i < visible.size(); ++i) {
          const int64_t count = tiles[v].num_rows[i];
          visible[i] = static_cast<float>(count);
          all_see = std::min(all_see, count);
          any_sees = std::max(any_sees, count);
        }
        q[v] = tiles[v].q;
        states[v] = tiles[v].state;
        num_rows[v] = Simd::Load(visible.data());
      }
    }
  };

  template <int kVecs>
  using Weights = std::array<std::array<std::array<float, kLanes>, kVecs>, kPositionTile>;

  // scores[k] = softmax_scale * q · row k, for all rows when they are still to be widened, else for
  // those that any lane sees; and for some behind them.
  template <int kVecs, typename Source>
  static void Scores(const Tiles<kVecs>& tiles,
                     const PositionTile& positions,
                     Weights<kVecs>& scores) {
    constexpr int kRun = Tiles<kVecs>::kRun;
    static_assert(kPositionTile % kRun == 0 && kRun <= kRowsAhead && kColumnBlock % kRun == 0);
    const Vec scale = Simd::Set1(positions.softmax_scale);
    const int64_t num_rows =
        std::is_same_v<Source, typename Rows::Widened> ? tiles.any_sees : positions.num_rows;
    for (int64_t first = 0; first < num_rows; first += kRun) {
      Vec sums[kRun][kVecs];  // NOLINT(*-avoid-c-arrays)
      for (auto& row : sums) {
        for (Vec& sum : row) {
          sum = Simd::Zero();
        }
      }
      SumRun<kVecs, kRun, Source>(tiles, positions, first, sums);
      for (int k = 0; k < kRun; ++k) {
        for (int v = 0; v < kVecs; ++v) {
          Simd::Store(scores[first + k][v].data(), Simd::Mul(sums[k][v], scale));
        }
      }
    }
  }

 private:
  // sums += q · columns [begin, begin + count) of rows [0, kRun), which `block` begins with. Calls
  // also(k) for each of the rows in between, if `count` is a whole block.
  template <int kVecs, int kRun, typename Also>
  [[gnu::always_inline]] static void AddScores(const Tiles<kVecs>& tiles,
                                               const float* block,
                                               int64_t begin,
                                               int64_t count,
                                               Vec (*sums)[kVecs],
                                               Also also) {
    constexpr int64_t kColumnsPerRow = kColumnBlock / kRun;
    const auto queries = tiles.q;  // which no store can change
    for (int64_t column = 0; column < count; ++column) {
      Vec x[kVecs];  // NOLINT(*-avoid-c-arrays)
      for (int v = 0; v < kVecs; ++v) {
        x[v] = Simd::Load(queries[v] + (begin + column) * kLanes);
      }
      for (int k = 0; k < kRun; ++k) {
        const Vec element = Simd::Set1(block[k * kColumnBlock + column]);
        for (int v = 0; v < kVecs; ++v) {
          sums[k][v] = Simd::MulAdd(x[v], element, sums[k][v]);
        }
      }
      if (column % kColumnsPerRow == 0) {
        also(column / kColumnsPerRow);
      }
    }
  }

  // sums[k] = q · row first + k. A block is widened between the sums of the one before, which hide
  // its loads and stores.
  template <int kVecs, int kRun, typename Source>
  [[gnu::always_inline]] static void SumRun(const Tiles<kVecs>& tiles,
                                            const PositionTile& positions,
                                            int64_t first,
                                            Vec (*sums)[kVecs]) {
    constexpr bool kIsWidened = std::is_same_v<Source, typename Rows::Widened>;
    constexpr int64_t kBlockStride = kPositionTile * kColumnBlock;
    constexpr int64_t kLineBytes = 64;
    float* block = positions.widened + first * kColumnBlock;
    const auto nothing = [](int64_t /*k*/) {};
    if constexpr (!kIsWidened) {
      Rows::template WidenRun<Source, kRun>(
          positions, first, 0, std::min(kColumnBlock, positions.row_width), block);
    }
    int64_t begin = 0;
    int64_t last_line = -1;
    for (; begin + 2 * kColumnBlock <= positions.row_width; begin += kColumnBlock) {
      float* next = block + kBlockStride;
      if constexpr (kIsWidened) {
        AddScores<kVecs, kRun>(tiles, block, begin, kColumnBlock, sums, nothing);
      } else {
        const std::byte* const* rows = positions.stored + first;
        const auto widen = [&](int64_t k) {
          Source::Widen(
              positions, rows[k], begin + kColumnBlock, kColumnBlock, next + k * kColumnBlock);
        };
        const int64_t offset = begin * positions.row_bytes / positions.row_width;
        if (offset / kLineBytes == last_line) {
          AddScores<kVecs, kRun>(tiles, block, begin, kColumnBlock, sums, widen);
        } else {
          last_line = offset / kLineBytes;
          AddScores<kVecs, kRun>(tiles, block, begin, kColumnBlock, sums, [&](int64_t k) {
            widen(k);
            __builtin_prefetch(rows[k + kRun] + offset);
          });
        }
      }
      block = next;
    }
    for (; begin < positions.row_width; begin += kColumnBlock, block += kBlockStride) {
      const int64_t count = std::min(kColumnBlock, positions.row_width - begin);
      AddScores<kVecs, kRun>(tiles, block, begin, count, sums, nothing);
      const int64_t rest = positions.row_width - begin - count;
      if constexpr (!kIsWidened) {
        if (rest > 0) {
          Rows::template WidenRun<Source, kRun>(
              positions, first, begin + count, rest, block + kBlockStride);
        }
      }
    }
  }
};

}  // namespace hadal::cpu
