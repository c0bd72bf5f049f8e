#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/dtype.h"

namespace hadal::cpu {

/// The most lanes that a vector has.
inline constexpr int64_t kMaxLanes = 16;

/// Cache rows that are taken at a time, and so many of the next ones are fetched meanwhile.
inline constexpr int64_t kPositionTile = 64;
inline constexpr int64_t kRowsAhead = 64;

/// Columns of a block of widened rows.
inline constexpr int64_t kColumnBlock = 16;

/// Cache rows at consecutive positions, and what all queries of a call have in common.
struct PositionTile {
  const std::byte* const* stored;  // [kPositionTile + kRowsAhead], all readable
  int64_t num_rows;                // of the tile; what is behind them does not count
  DType dtype;                     // as LatentCache has it
  int64_t row_bytes;
  int64_t row_width;
  int64_t kv_lora_rank;
  float softmax_scale;
  float* widened;  // [ceil(row_width / kColumnBlock), kPositionTile, kColumnBlock], to work in
};

/// Absorbed queries (a token and a head each), one in each lane of a vector.
///
/// `state` holds what they have gathered, for each lane: the highest score so far, the sum of
/// exp(score - highest), and the latents, weighted by it (Milakov & Gimelshein 2018,
/// arXiv:1805.02867). Before the first row it is -infinity, 0 and zeros.
struct LaneTile {
  const float* q;                           // [row_width, num_lanes]
  float* state;                             // [2 + kv_lora_rank, num_lanes]
  std::array<int32_t, kMaxLanes> num_rows;  // that each lane sees, from the tile's first on
};

/// The inner loops of absorbed attention for one instruction set. What a lane gets depends on its
/// own query and on the rows that it sees, in bits: not on other lanes, nor on other tiles. A NaN
/// or an infinity in a row, or a lane, reaches no lane that does not see it.
struct LaneKernels {
  int64_t num_lanes;  // a power of two, at most kMaxLanes

  /// Takes the rows into the states of lane tiles.
  void (*attend)(const PositionTile& positions, std::span<const LaneTile> tiles);

  /// Takes the state `part`, of rows behind those of `state`, into it.
  void (*merge)(const float* part, int64_t kv_lora_rank, float* state);

  /// y[column][lane] = x[lane * x_stride + column] for columns [0, width), 0 in lanes from `num_x`.
  void (*to_lanes)(const float* x, int64_t x_stride, int64_t num_x, int64_t width, float* y);

  /// y[lane * y_stride + column] = the lane's weighted latents, divided by its sum, for lanes below
  /// num_y.
  void (*from_lanes)(
      const float* state, int64_t kv_lora_rank, int64_t num_y, int64_t y_stride, float* y);
};

}  // namespace hadal::cpu
