#pragma once

// Softmax and weighted sums of absorbed attention over a vector type, whose needs lane_loops.h
// names.

#include <array>
#include <cstdint>
#include <limits>

#include "kernels/cpu/attention/lane_scores.h"
#include "kernels/cpu/attention/lane_softmax.h"

namespace hadal::cpu {

template <typename Simd>
struct LaneSums {
  using Vec = typename Simd::Vec;
  using Softmax = LaneSoftmax<Simd>;
  static constexpr int64_t kLanes = Simd::kLanes;

  template <int kVecs>
  using Tiles = typename LaneScores<Simd>::template Tiles<kVecs>;
  template <int kVecs>
  using Weights = typename LaneScores<Simd>::template Weights<kVecs>;

  // Replaces the scores of the rows that any lane sees by weights, 0 where a lane does not see the
  // row, and takes them into highest score and sum. Returns what the latents so far are to be
  // scaled with: 1 in lanes whose highest score stays.
  template <int kVecs>
  static Vec TakeScores(const Tiles<kVecs>& tiles, int v, Weights<kVecs>& scores) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    float* state = tiles.states[v];
    for (int64_t k = tiles.all_see; k < tiles.any_sees; ++k) {
      float* score = scores[k][v].data();
      const auto is_seen = Simd::Less(Simd::Set1(static_cast<float>(k)), tiles.num_rows[v]);
      Simd::Store(score, Simd::Select(is_seen, Simd::Load(score), Simd::Set1(-kInfinity)));
    }
    const Vec before = Simd::Load(state);
    Vec highest = before;
    for (int64_t k = 0; k < tiles.any_sees; ++k) {
      highest = Simd::Max(Simd::Load(scores[k][v].data()), highest);
    }
    const Vec shift = Softmax::Shift(highest);
    const Vec factor = Softmax::Exp(Simd::Sub(before, shift));
    Vec sum = Simd::Mul(Simd::Load(state + kLanes), factor);
    for (int64_t k = 0; k < tiles.any_sees; ++k) {
      float* score = scores[k][v].data();
      const Vec weight = Softmax::Exp(Simd::Sub(Simd::Load(score), shift));
      Simd::Store(score, weight);
      sum = Simd::Add(sum, weight);
    }
    Simd::Store(state, highest);
    Simd::Store(state + kLanes, sum);
    return factor;
  }

  // Scales kColumns columns of the weighted latents and adds those of the rows. Rows that not all
  // lanes see come last, and leave the other lanes as they are: weight 0 would let NaN through.
  template <int kVecs, int kColumns>
  static void AddColumns(const Tiles<kVecs>& tiles,
                         const PositionTile& positions,
                         const Vec* factors,
                         const Weights<kVecs>& weights,
                         int64_t column) {
    Vec sums[kColumns][kVecs];  // NOLINT(*-avoid-c-arrays)
    for (int c = 0; c < kColumns; ++c) {
      for (int v = 0; v < kVecs; ++v) {
        const float* latent = tiles.states[v] + (2 + column + c) * kLanes;
        sums[c][v] = Simd::Mul(Simd::Load(latent), factors[v]);
      }
    }
    static_assert(kColumnBlock % kColumns == 0);
    const float* row = positions.widened + column / kColumnBlock * kPositionTile * kColumnBlock +
                       column % kColumnBlock;
    int64_t k = 0;
    for (; k < tiles.all_see; ++k, row += kColumnBlock) {
      __builtin_prefetch(row + kPositionTile * kColumnBlock);  // for the next columns
      Vec weight[kVecs];                                       // NOLINT(*-avoid-c-arrays)
      for (int v = 0; v < kVecs; ++v) {
        weight[v] = Simd::Load(weights[k][v].data());
      }
      for (int c = 0; c < kColumns; ++c) {
        const Vec element = Simd::Set1(row[c]);
        for (int v = 0; v < kVecs; ++v) {
          sums[c][v] = Simd::MulAdd(weight[v], element, sums[c][v]);
        }
      }
    }
    for (; k < tiles.any_sees; ++k, row += kColumnBlock) {
      const Vec number = Simd::Set1(static_cast<float>(k));
      for (int v = 0; v < kVecs; ++v) {
        const auto is_seen = Simd::Less(number, tiles.num_rows[v]);
        const Vec weight = Simd::Load(weights[k][v].data());
        for (int c = 0; c < kColumns; ++c) {
          const Vec sum = Simd::MulAdd(weight, Simd::Set1(row[c]), sums[c][v]);
          sums[c][v] = Simd::Select(is_seen, sum, sums[c][v]);
        }
      }
    }
    for (int c = 0; c < kColumns; ++c) {
      for (int v = 0; v < kVecs; ++v) {
        Simd::Store(tiles.states[v] + (2 + column + c) * kLanes, sums[c][v]);
      }
    }
  }
};

}  // namespace hadal::cpu
