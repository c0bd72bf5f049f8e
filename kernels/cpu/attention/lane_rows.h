#pragma once

// How cache rows become floats, over a vector type, whose needs lane_loops.h names.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "kernels/cpu/attention/lane_kernels.h"
#include "kernels/latent_cache.h"

namespace hadal::cpu {

template <typename Simd>
struct LaneRows {
  static constexpr int64_t kLanes = Simd::kLanes;

  static float ValueOf(int8_t value) { return static_cast<float>(value); }
  static float ValueOf(fp8_e4m3 value) { return ToFloat(value); }

  // Rows as they are in the cache, of elements T.
  template <typename T>
  struct Stored {
    // y = columns [begin, begin + count) of a row.
    [[gnu::always_inline]] static void Widen(const PositionTile& /*positions*/,
                                             const std::byte* row,
                                             int64_t begin,
                                             int64_t count,
                                             float* y) {
      const T* x = reinterpret_cast<const T*>(row) + begin;
      int64_t i = 0;
      for (; i + kLanes <= count; i += kLanes) {
        Simd::Store(y + i, Simd::Load(x + i));
      }
      for (; i < count; ++i) {
        y[i] = ToFloat(x[i]);
      }
    }
  };

  // Rows of values T, int8_t or fp8_e4m3, with scales.
  template <typename T>
  struct StoredScaled {
    [[gnu::always_inline]] static void Widen(const PositionTile& positions,
                                             const std::byte* row,
                                             int64_t begin,
                                             int64_t count,
                                             float* y) {
      const int64_t rank = positions.kv_lora_rank;
      const auto* values = reinterpret_cast<const T*>(row) + begin;
      const auto* scales = reinterpret_cast<const float*>(row + LatentScalesOffset(rank));
      const int64_t num_values = std::min(count, rank - begin);
      for (int64_t i = 0; i < num_values;) {
        const int64_t group = (begin + i) / kLatentGroup;
        const int64_t end = std::min(num_values, (group + 1) * kLatentGroup - begin);
        for (; i + kLanes <= end; i += kLanes) {
          Simd::Store(y + i, Simd::Mul(Simd::Load(values + i), Simd::Set1(scales[group])));
        }
        for (; i < end; ++i) {
          y[i] = ValueOf(values[i]) * scales[group];
        }
      }
      const int64_t first = std::max(begin, rank);
      const std::byte* key = row + LatentKeyOffset(rank);
      if (first < begin + count) {
        Stored<bf16>::Widen(positions, key, first - rank, begin + count - first, y + first - begin);
      }
    }
  };

  // Rows that have been widened.
  struct Widened {};

  // Widens columns [begin, begin + count) of rows [first, first + kRows).
  template <typename Source, int64_t kRows>
  static void WidenRun(
      const PositionTile& positions, int64_t first, int64_t begin, int64_t count, float* block) {
    for (int64_t row = first; row < first + kRows; ++row, block += kColumnBlock) {
      Source::Widen(positions, positions.stored[row], begin, count, block);
    }
  }
};

}  // namespace hadal::cpu
