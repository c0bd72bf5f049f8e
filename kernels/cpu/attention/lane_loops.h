#pragma once

// The inner loops of absorbed attention, written once over a vector type, as those of
// kernels/cpu/vector_loops.h are and under the same rules.
//
// Each lane of a vector is a query. All sums run over columns or rows in rising order, one lane
// beside the other, so there is nothing to add up across lanes.
//
// Simd must have, besides what vector_loops.h asks for: Load(const int8_t*); Mask; kSums, the
// vectors that it sums in at a time; Sub; Max(a, b), which is b where either is NaN; Less(a, b) ->
// Mask; Select(mask, a, b); PowerOfTwo(n + kRounder) = 2^n for whole n in [-126, 127]; Transpose of
// kLanes vectors.

#include <array>
#include <cstdint>
#include <span>

#include "kernels/cpu/attention/lane_sums.h"

namespace hadal::cpu {

template <typename Simd>
struct LaneLoops {
  using Vec = typename Simd::Vec;
  using Rows = LaneRows<Simd>;
  using Softmax = LaneSoftmax<Simd>;
  using Sums = LaneSums<Simd>;
  static constexpr int64_t kLanes = Simd::kLanes;

  template <int kVecs, typename Source>
  static void AttendTiles(const PositionTile& positions, const LaneTile* lane_tiles) {
    constexpr int kRun = Sums::template Tiles<kVecs>::kRun;
    const typename Sums::template Tiles<kVecs> tiles(lane_tiles);
    alignas(64) typename Sums::template Weights<kVecs> weights;
    LaneScores<Simd>::template Scores<kVecs, Source>(tiles, positions, weights);
    Vec factors[kVecs];  // NOLINT(*-avoid-c-arrays)
    for (int v = 0; v < kVecs; ++v) {
      factors[v] = Sums::template TakeScores<kVecs>(tiles, v, weights);
    }
    int64_t column = 0;
    for (; column + kRun <= positions.kv_lora_rank; column += kRun) {
      Sums::template AddColumns<kVecs, kRun>(tiles, positions, factors, weights, column);
    }
    for (; column < positions.kv_lora_rank; ++column) {
      Sums::template AddColumns<kVecs, 1>(tiles, positions, factors, weights, column);
    }
  }

  // The first tiles widen the rows for all.
  template <typename Source>
  static void AttendStored(const PositionTile& positions, std::span<const LaneTile> tiles) {
    const auto num_tiles = std::ssize(tiles);
    if (num_tiles == 1) {
      AttendTiles<1, Source>(positions, tiles.data());
      return;
    }
    AttendTiles<2, Source>(positions, tiles.data());
    for (int64_t i = 2; i < num_tiles; i += 2) {
      if (i + 1 < num_tiles) {
        AttendTiles<2, typename Rows::Widened>(positions, tiles.data() + i);
      } else {
        AttendTiles<1, typename Rows::Widened>(positions, tiles.data() + i);
      }
    }
  }

  static void Attend(const PositionTile& positions, std::span<const LaneTile> tiles) {
    if (positions.dtype == DType::kF32) {
      AttendStored<typename Rows::template Stored<float>>(positions, tiles);
    } else if (positions.dtype == DType::kI8) {
      AttendStored<typename Rows::template StoredScaled<int8_t>>(positions, tiles);
    } else if (positions.dtype == DType::kFp8E4m3) {
      AttendStored<typename Rows::template StoredScaled<fp8_e4m3>>(positions, tiles);
    } else {
      AttendStored<typename Rows::template Stored<bf16>>(positions, tiles);
    }
  }

  static void Merge(const float* part, int64_t kv_lora_rank, float* state) {
    const Vec before = Simd::Load(state);
    const Vec highest = Simd::Max(before, Simd::Load(part));
    const Vec shift = Softmax::Shift(highest);
    const Vec factor = Softmax::Exp(Simd::Sub(before, shift));
    const Vec part_factor = Softmax::Exp(Simd::Sub(Simd::Load(part), shift));
    Simd::Store(state, highest);
    for (int64_t i = kLanes; i < (2 + kv_lora_rank) * kLanes; i += kLanes) {
      const Vec kept = Simd::Mul(Simd::Load(state + i), factor);
      Simd::Store(state + i, Simd::MulAdd(Simd::Load(part + i), part_factor, kept));
    }
  }

  static void ToLanes(const float* x, int64_t x_stride, int64_t num_x, int64_t width, float* y) {
    int64_t column = 0;
    for (; column + kLanes <= width; column += kLanes) {
      Vec square[kLanes];  // NOLINT(*-avoid-c-arrays)
      for (int64_t i = 0; i < kLanes; ++i) {
        square[i] = i < num_x ? Simd::Load(x + i * x_stride + column) : Simd::Zero();
      }
      Simd::Transpose(square);
      for (int64_t i = 0; i < kLanes; ++i) {
        Simd::Store(y + (column + i) * kLanes, square[i]);
      }
    }
    for (; column < width; ++column) {
      for (int64_t i = 0; i < kLanes; ++i) {
        y[column * kLanes + i] = i < num_x ? x[i * x_stride + column] : 0.0F;
      }
    }
  }

  static void FromLanes(
      const float* state, int64_t kv_lora_rank, int64_t num_y, int64_t y_stride, float* y) {
    alignas(64) std::array<float, kLanes> inverse;
    for (int64_t i = 0; i < kLanes; ++i) {
      inverse[static_cast<size_t>(i)] = 1.0F / state[kLanes + i];
    }
    const Vec factors = Simd::Load(inverse.data());
    const float* weighted = state + 2 * kLanes;
    int64_t column = 0;
    for (; column + kLanes <= kv_lora_rank; column += kLanes) {
      Vec square[kLanes];  // NOLINT(*-avoid-c-arrays)
      for (int64_t i = 0; i < kLanes; ++i) {
        square[i] = Simd::Mul(Simd::Load(weighted + (column + i) * kLanes), factors);
      }
      Simd::Transpose(square);
      for (int64_t i = 0; i < num_y; ++i) {
        Simd::Store(y + i * y_stride + column, square[i]);
      }
    }
    for (; column < kv_lora_rank; ++column) {
      for (int64_t i = 0; i < num_y; ++i) {
        y[i * y_stride + column] = weighted[column * kLanes + i] * inverse[static_cast<size_t>(i)];
      }
    }
  }

  /// VectorKernels.lanes: for all caches.
  static LaneKernels Kernels(const LatentCache& /*cache*/) {
    return {.num_lanes = kLanes,
            .attend = &Attend,
            .merge = &Merge,
            .to_lanes = &ToLanes,
            .from_lanes = &FromLanes};
  }
};

}  // namespace hadal::cpu
