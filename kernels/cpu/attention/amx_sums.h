#pragma once

// The sums of absorbed attention on tile registers. Operands that are floats are taken in two parts
// of bf16, which leaves an error of 2^-17 of them.

#include <array>
#include <cstdint>
#include <limits>
#include <utility>

#include "kernels/cpu/attention/amx_rows.h"
#include "kernels/cpu/attention/lane_sums.h"

namespace hadal::cpu {

template <typename Tiles, typename Simd>
struct AmxSums {
  using Vec = typename Simd::Vec;
  using Rows = AmxRows<Simd>;
  using Scores = typename LaneSums<Simd>::template Weights<1>;
  static constexpr int64_t kLanes = Simd::kLanes;
  static_assert(kLanes == kTileSide && kPositionTile == 4 * kTileSide);

  // Positions' tiles, or columns', that are summed at a time: four hide how long a product takes.
  template <int64_t kCount>
  using TileNumbers = std::make_integer_sequence<int, static_cast<int>(kCount)>;

  // Writes the high parts of (first[i], second[i]), the first in the lower half of a word, and the
  // low parts a tile behind them: `high` + `low` are both within 2^-17 of themselves.
  static void StorePairs(const Vec& first, const Vec& second, std::byte* high) {
    const Vec a = Simd::RoundToBf16(first);
    const Vec b = Simd::RoundToBf16(second);
    Simd::StoreBytes(high, Simd::PairUpper(a, b));
    const Vec a_rest = Simd::RoundToBf16(Simd::Sub(first, a));
    const Vec b_rest = Simd::RoundToBf16(Simd::Sub(second, b));
    Simd::StoreBytes(high + kTileBytes, Simd::PairUpper(a_rest, b_rest));
  }

  // scores[k] = q · row k for the rows of kCount tiles. `next` are rows to fetch, or null.
  template <int... kTile>
  static void AddTiles(const Rows& rows,
                       const std::byte* q,
                       const std::byte* const* next,
                       std::integer_sequence<int, kTile...> /*tiles*/,
                       Scores& scores) {
    constexpr int64_t kTileColumns = kStepLength * int64_t{sizeof(bf16)};
    const int64_t end = rows.positions.row_width * int64_t{sizeof(bf16)};
    (Tiles::template Zero<kTile>(), ...);
    for (int64_t offset = 0; offset < end; offset += kTileColumns) {
      Tiles::template Load<6>(q, kTileRowBytes);
      Tiles::template Load<7>(q + kTileBytes, kTileRowBytes);
      (AddTile<kTile>(rows.tiles[kTile], offset), ...);
      q += 2 * kTileBytes;
      for (int64_t i = 0; i < kRowsAhead && next != nullptr; ++i) {
        __builtin_prefetch(next[i] + offset, 0, 2);
      }
    }
    (Tiles::template Store<kTile>(scores[kTile * kTileSide].data(), kTileRowBytes), ...);
  }

  // The same for rows [0, num_rows), times the softmax's scale. Returns whether all are finite, as
  // they cannot be where a row is not.
  static bool TakeRows(const Rows& rows,
                       const std::byte* q,
                       int64_t num_rows,
                       const std::byte* const* next,
                       Scores& scores) {
    switch ((num_rows + kTileSide - 1) / kTileSide) {
      case 1:
        AddTiles(rows, q, next, TileNumbers<1>(), scores);
        break;
      case 2:
        AddTiles(rows, q, next, TileNumbers<2>(), scores);
        break;
      case 3:
        AddTiles(rows, q, next, TileNumbers<3>(), scores);
        break;
      default:
        AddTiles(rows, q, next, TileNumbers<4>(), scores);
    }
    const Vec scale = Simd::Set1(rows.positions.softmax_scale);
    Vec differences = Simd::Zero();  // of a finite number and itself
    for (int64_t k = 0; k < num_rows; ++k) {
      float* score = scores[static_cast<size_t>(k)][0].data();
      const Vec value = Simd::Load(score);
      differences = Simd::Add(differences, Simd::Sub(value, value));
      Simd::Store(score, Simd::Mul(value, scale));
    }
    return Simd::Sum(differences) == 0;
  }

  // For each step, the weights of its positions as rows of lanes: a tile of high parts, then one of
  // low parts.
  using WeightTiles = std::array<std::byte, Rows::kNumSteps * 2 * kTileBytes>;
  static void SplitWeights(const Scores& weights, int64_t num_steps, WeightTiles& tiles) {
    for (int64_t step = 0; step < num_steps; ++step) {
      Vec halves[2][kLanes];  // NOLINT(*-avoid-c-arrays)
      auto row = static_cast<size_t>(step * kStepLength);
      for (auto& half : halves) {
        for (Vec& weight : half) {
          weight = Simd::Load(weights[row][0].data());
          ++row;
        }
        Simd::Transpose(half);
      }
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        StorePairs(halves[0][lane],
                   halves[1][lane],
                   tiles.data() + step * 2 * kTileBytes + lane * kTileRowBytes);
      }
    }
  }

  // latents += weights · values, in tiles of 16 lanes by 16 columns.
  template <int... kTile>
  static void AddValues(const WeightTiles& weights,
                        int64_t num_steps,
                        const std::byte* pairs,
                        std::integer_sequence<int, kTile...> /*tiles*/,
                        float* latents) {
    constexpr int64_t kTileFloats = kTileSide * kTileSide;
    (Tiles::template Load<kTile>(latents + kTile * kTileFloats, kTileRowBytes), ...);
    for (int64_t step = 0; step < num_steps; ++step, pairs += kTileBytes) {
      const std::byte* parts = weights.data() + step * 2 * kTileBytes;
      Tiles::template Load<4>(parts, kTileRowBytes);
      Tiles::template Load<5>(parts + kTileBytes, kTileRowBytes);
      (AddValueTile<kTile>(pairs + kTile * Rows::kNumSteps * kTileBytes), ...);
    }
    (Tiles::template Store<kTile>(latents + kTile * kTileFloats, kTileRowBytes), ...);
  }

  // Scales lanes' latents. A factor of 1 leaves a lane as it is. Subnormal numbers become 0 here,
  // as they else would wherever a product is added, be it one of zeros.
  static void Scale(const Vec& factors, int64_t kv_lora_rank, float* latents) {
    alignas(64) std::array<float, kLanes> each;
    Simd::Store(each.data(), factors);
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      if (each[static_cast<size_t>(lane)] == 1.0F) {
        continue;
      }
      const Vec factor = Simd::Set1(each[static_cast<size_t>(lane)]);
      for (int64_t column = 0; column < kv_lora_rank; column += kTileSide) {
        float* part = latents + column * kLanes + lane * kTileSide;
        const Vec value = Simd::Mul(Simd::Load(part), factor);
        const Vec magnitude = Simd::Max(value, Simd::Sub(Simd::Zero(), value));
        const auto is_tiny = Simd::Less(magnitude, Simd::Set1(std::numeric_limits<float>::min()));
        Simd::Store(part, Simd::Select(is_tiny, Simd::Zero(), value));
      }
    }
  }

 private:
  template <int kTile>
  static void AddTile(const typename Rows::RowTile& tile, int64_t offset) {
    constexpr int kRows = 4 + kTile % 2;
    Tiles::template Load<kRows>(tile.rows + offset, tile.stride);
    Tiles::template DotBf16<kTile, kRows, 6>();
    Tiles::template DotBf16<kTile, kRows, 7>();
  }

  template <int kTile>
  static void AddValueTile(const std::byte* pairs) {
    constexpr int kValues = 6 + kTile % 2;
    Tiles::template Load<kValues>(pairs, kTileRowBytes);
    Tiles::template DotBf16<kTile, 4, kValues>();
    Tiles::template DotBf16<kTile, 5, kValues>();
  }
};

}  // namespace hadal::cpu
