#pragma once

#include <cstdint>

#include "kernels/mlp.h"

namespace hadal::cuda {

// How products are cut. What decides the order of a sum (segments) follows from the weight alone,
// so that a row has the same bits in any batch; what does not (tiles) may follow from the batch.

/// Weight rows of a block.
inline constexpr int64_t kTileRows = 64;
/// Bytes of a weight row that a block takes at a time.
inline constexpr int64_t kStepBytes = 128;
/// Blocks that keep an H200 reading, two for each multiprocessor: a weight of fewer is split.
inline constexpr int64_t kWantedBlocks = 2 * 132;
/// Input rows of a block at most, and of one that multiplies by two matrices of an expert.
inline constexpr int64_t kMostTileTokens = 64;
inline constexpr int64_t kMostExpertTokens = 32;

/// Whether blocks of so many input rows split them as they load them. Splitting takes the time of
/// half as many products then, which is free while weights are the limit.
constexpr bool SplitsWhenLoaded(int64_t tile_tokens) {
  constexpr int64_t kMostTokens = 16;
  return tile_tokens <= kMostTokens;
}

/// Columns that kStepBytes are. REQUIRES: TakesTensorCores(weight).
int64_t StepCols(const WeightMatrix& weight);

/// StepCols of it, rounded up.
int64_t NumSteps(const WeightMatrix& weight);

/// Whether products with `weight` go through matrix instructions: bf16 and fp8 in blocks of 128
/// columns, rows aligned to 16 bytes.
bool TakesTensorCores(const WeightMatrix& weight);

/// Whether all three do, gate and up in one format.
bool TakesTensorCores(const MlpWeights& weights);

/// A product's columns are summed in this many segments, each from zero on, then segment after
/// segment: enough that a weight of few rows keeps the whole GPU reading, for one token.
int64_t NumSegments(const WeightMatrix& weight);

/// Steps of every segment but the last, which may be shorter.
int64_t SegmentSteps(const WeightMatrix& weight);

/// Input rows of a block for `num_rows` in all: 8, 16, 32 or 64, not more than `most`.
int64_t TileTokens(int64_t num_rows, int64_t most);

/// Whether segments go to blocks of their own, which pays while there are few input rows.
bool SplitsSegments(int64_t num_segments, int64_t num_rows);

}  // namespace hadal::cuda
