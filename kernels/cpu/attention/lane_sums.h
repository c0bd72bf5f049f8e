#pragma once

// The sums of absorbed attention over a vector type, whose needs lane_loops.h names.

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/cpu/attention/lane_rows.h"
#include "kernels/cpu/attention/lane_softmax.h"

namespace hadal::cpu {

template <typename Simd>
struct LaneSums {
  using Vec = typename Simd::Vec;
  using Rows = LaneRows<Simd>;
  using Softmax = LaneSoftmax<Simd>;
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

  // sums += q · columns of rows [0, kRun), from a block that begins with them.
  template <int kVecs, int kRun>
  [[gnu::always_inline]] static void AddScores(
      const float* const* q, const float* rows, int64_t begin, int64_t count, Vec (*sums)[kVecs]) {
    for (int64_t column = 0; column < count; ++column) {
      Vec x[kVecs];  // NOLINT(*-avoid-c-arrays)
      for (int v = 0; v < kVecs; ++v) {
        x[v] = Simd::Load(q[v] + (begin + column) * kLanes);
      }
      for (int k = 0; k < kRun; ++k) {
        const Vec element = Simd::Set1(rows[k * kColumnBlock + column]);
        for (int v = 0; v < kVecs; ++v) {
          sums[k][v] = Simd::MulAdd(x[v], element, sums[k][v]);
        }
      }
    }
  }

  // scores[k] = softmax_scale * q · row k, for all rows when they are still to be widened, else for
  // those that any lane sees; and for some behind them.
  template <int kVecs, typename Source>
  static void Scores(const Tiles<kVecs>& tiles,
                     const PositionTile& positions,
                     Weights<kVecs>& scores) {
    constexpr int kRun = Tiles<kVecs>::kRun;
    constexpr bool kIsWidened = std::is_same_v<Source, typename Rows::Widened>;
    static_assert(kPositionTile % kRun == 0 && kRun <= kRowsAhead);
    const Vec scale = Simd::Set1(positions.softmax_scale);
    const int64_t num_rows = kIsWidened ? tiles.any_sees : positions.num_rows;
    for (int64_t first = 0; first < num_rows; first += kRun) {
      Vec sums[kRun][kVecs];  // NOLINT(*-avoid-c-arrays)
      for (auto& row : sums) {
        for (Vec& sum : row) {
          sum = Simd::Zero();
        }
      }
      float* rows = positions.widened + first * kColumnBlock;
      for (int64_t begin = 0; begin < positions.row_width; begin += kColumnBlock) {
        const int64_t count = std::min(kColumnBlock, positions.row_width - begin);
        if constexpr (!kIsWidened) {
          Rows::template Widen<Source, kRun>(positions, first, begin, count, rows);
        }
        AddScores<kVecs, kRun>(tiles.q.data(), rows, begin, count, sums);
        rows += kPositionTile * kColumnBlock;
      }
      for (int k = 0; k < kRun; ++k) {
        for (int v = 0; v < kVecs; ++v) {
          Simd::Store(scores[first + k][v].data(), Simd::Mul(sums[k][v], scale));
        }
      }
    }
  }

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
      __builtin_prefetch(row + kColumns);  // for the next columns
      Vec weight[kVecs];                   // NOLINT(*-avoid-c-arrays)
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
