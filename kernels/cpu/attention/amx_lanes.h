#pragma once

// Absorbed attention over cache rows of bf16 on tile registers (see amx/hardware_tiles.h), with the
// softmax in vectors of 16 lanes, as many as a tile has rows.
//
// A position tile's scores are 4 tiles of 16 positions by 16 lanes, and its values are added to 4
// tiles of 16 lanes by 16 columns at a time. What bounds it: the products, of 16 cycles each, 8 for
// 6 tiles loaded in both.
//
// Simd must have, besides what lane_loops.h asks for: LoadBytes and StoreBytes of a vector's bits;
// RoundToBf16, to nearest, ties to even, NaN stays NaN; PairLower(a, b) and PairUpper(a, b), whose
// elements have the lower or upper half of a's in their lower half, and of b's in their upper half.
//
// A lane tile's q is [row_width / 32] pairs of tiles, high parts and low parts, of 16 pairs of
// columns times 16 lanes. Its state is highest scores and sums, one for each lane, then latents in
// the tiles and the order of columns that AmxRows names.

#include <array>
#include <cstdint>
#include <limits>
#include <span>

#include "kernels/cpu/attention/amx_sums.h"
#include "kernels/cpu/attention/lane_loops.h"

namespace hadal::cpu {

template <typename Tiles, typename Simd>
struct AmxLanes {
  using Vec = typename Simd::Vec;
  using Rows = AmxRows<Simd>;
  using Softmax = LaneSoftmax<Simd>;
  using Sums = AmxSums<Tiles, Simd>;
  using LaneTiles = typename LaneSums<Simd>::template Tiles<1>;
  static constexpr int64_t kLanes = Simd::kLanes;

  // The last tile sees most rows: it pairs them for the others.
  static void Attend(const PositionTile& positions, std::span<const LaneTile> tiles) {
    Tiles::Configure(kTileSide, kTileSide);
    Rows rows(positions);
    for (auto tile = tiles.rbegin(); tile != tiles.rend(); ++tile) {
      const LaneTiles lanes(&*tile);
      if (tile == tiles.rbegin()) {
        AttendTile<true>(lanes, rows);
      } else if (lanes.any_sees > 0) {
        AttendTile<false>(lanes, rows);
      }
    }
  }

  static void Merge(const float* part, int64_t kv_lora_rank, float* state) {
    const Vec before = Simd::Load(state);
    const Vec highest = Simd::Max(before, Simd::Load(part));
    const Vec shift = Softmax::Shift(highest);
    const Vec factor = Softmax::Exp(Simd::Sub(before, shift));
    const Vec part_factor = Softmax::Exp(Simd::Sub(Simd::Load(part), shift));
    Simd::Store(state, highest);
    const Vec kept_sum = Simd::Mul(Simd::Load(state + kLanes), factor);
    Simd::Store(state + kLanes, Simd::MulAdd(Simd::Load(part + kLanes), part_factor, kept_sum));
    alignas(64) std::array<float, kLanes> factors;
    alignas(64) std::array<float, kLanes> part_factors;
    Simd::Store(factors.data(), factor);
    Simd::Store(part_factors.data(), part_factor);
    for (int64_t i = 0; i < kv_lora_rank; ++i) {
      const auto lane = static_cast<size_t>(i % kLanes);
      const int64_t at = (2 + i) * kLanes;
      const Vec kept = Simd::Mul(Simd::Load(state + at), Simd::Set1(factors[lane]));
      Simd::Store(state + at,
                  Simd::MulAdd(Simd::Load(part + at), Simd::Set1(part_factors[lane]), kept));
    }
  }

  static void ToLanes(const float* x, int64_t x_stride, int64_t num_x, int64_t width, float* y) {
    for (int64_t column = 0; column < width; column += kStepLength) {
      std::byte* high = reinterpret_cast<std::byte*>(y) + column / kStepLength * 2 * kTileBytes;
      for (int64_t half = 0; half < kStepLength; half += kTileSide) {
        Vec square[kLanes];  // NOLINT(*-avoid-c-arrays)
        for (int64_t i = 0; i < kLanes; ++i) {
          square[i] = i < num_x ? Simd::Load(x + i * x_stride + column + half) : Simd::Zero();
        }
        Simd::Transpose(square);
        for (int64_t i = 0; i < kLanes; i += 2, high += kTileRowBytes) {
          Sums::StorePairs(square[i], square[i + 1], high);
        }
      }
    }
  }

  static void FromLanes(
      const float* state, int64_t kv_lora_rank, int64_t num_y, int64_t y_stride, float* y) {
    for (int64_t lane = 0; lane < num_y; ++lane) {
      const float inverse = 1.0F / state[kLanes + lane];
      for (int64_t column = 0; column < kv_lora_rank; column += kStepLength) {
        const float* even = state + (2 + column) * kLanes + lane * kTileSide;
        const float* odd = even + kTileSide * kTileSide;
        float* out = y + lane * y_stride + column;
        for (int64_t i = 0; i < kTileSide; ++i) {
          out[2 * i] = even[i] * inverse;
          out[2 * i + 1] = odd[i] * inverse;
        }
      }
    }
  }

  /// VectorKernels.lanes: vectors alone where rows do not fill tiles.
  static LaneKernels KernelsOf(const LatentCache& cache) {
    if (cache.dtype != DType::kBf16 || cache.row_width % kStepLength != 0 ||
        cache.kv_lora_rank % kStepLength != 0) {
      return LaneLoops<Simd>::Kernels(cache);
    }
    return {.num_lanes = kLanes,
            .attend = &Attend,
            .merge = &Merge,
            .to_lanes = &ToLanes,
            .from_lanes = &FromLanes};
  }

 private:
  // One lane tile; the first looks for bad rows and pairs the others, for all.
  template <bool kIsFirst>
  static void AttendTile(const LaneTiles& lanes, Rows& rows) {
    const PositionTile& positions = rows.positions;
    const int64_t num_rows = kIsFirst ? positions.num_rows : lanes.any_sees;
    const std::byte* const* next = kIsFirst ? positions.stored + kPositionTile : nullptr;
    alignas(64) typename Sums::Scores scores;
    const auto* q = reinterpret_cast<const std::byte*>(lanes.q[0]);
    const bool are_finite = Sums::TakeRows(rows, q, num_rows, next, scores);
    if (kIsFirst && !are_finite) {
      rows.LeaveOutBadRows();
    }
    const auto fill_row = [&scores](int64_t row, float value) {
      scores[static_cast<size_t>(row)][0].fill(value);
    };
    for (int64_t row = 0; row < num_rows && rows.has_bad_rows; ++row) {
      if (rows.values[static_cast<size_t>(row)] == nullptr) {
        fill_row(row, std::numeric_limits<float>::quiet_NaN());
      }
    }
    const Vec factors = LaneSums<Simd>::template TakeScores<1>(lanes, 0, scores);
    const int64_t num_steps = (lanes.any_sees + kStepLength - 1) / kStepLength;
    for (int64_t row = lanes.any_sees; row < num_steps * kStepLength; ++row) {
      fill_row(row, 0);
    }
    alignas(64) typename Sums::WeightTiles weights;
    Sums::SplitWeights(scores, num_steps, weights);
    float* latents = lanes.states[0] + 2 * kLanes;
    Sums::Scale(factors, positions.kv_lora_rank, latents);
    constexpr int64_t kGroupTiles = 2;  // of 32 columns
    const int64_t num_groups = positions.kv_lora_rank / kStepLength;
    for (int64_t group = 0; group < num_groups;) {
      const bool are_two = group + 1 < num_groups;
      const int64_t end = group + (are_two ? 2 : 1);
      for (int64_t i = group; i < end && kIsFirst; ++i) {
        rows.MakePairs(i);
      }
      const std::byte* pairs = rows.pairs + group * kGroupTiles * Rows::kNumSteps * kTileBytes;
      float* columns = latents + group * kStepLength * kLanes;
      if (are_two) {
        Sums::AddValues(weights, num_steps, pairs, TileNumbers<2 * kGroupTiles>(), columns);
      } else {
        Sums::AddValues(weights, num_steps, pairs, TileNumbers<kGroupTiles>(), columns);
      }
      group = end;
    }
  }

  template <int64_t kCount>
  using TileNumbers = typename Sums::template TileNumbers<kCount>;
};

}  // namespace hadal::cpu
