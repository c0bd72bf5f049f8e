#include "kernels/cuda/product/plan.h"

#include <algorithm>

namespace hadal::cuda {
namespace {

constexpr int64_t kLeastSegmentBytes = 1024;  // of a weight row

int64_t CeilDiv(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

}  // namespace

int64_t StepCols(const WeightMatrix& weight) {
  return weight.format == WeightFormat::kBf16 ? kStepBytes / 2 : kStepBytes;
}

int64_t NumSteps(const WeightMatrix& weight) {
  return CeilDiv(weight.cols, StepCols(weight));
}

bool TakesTensorCores(const WeightMatrix& weight) {
  constexpr int64_t kAlignment = 16;
  constexpr int64_t kWarpRows = 16;  // of one scale
  if (reinterpret_cast<uintptr_t>(weight.payload) % kAlignment != 0) {
    return false;
  }
  if (weight.format == WeightFormat::kBf16) {
    return weight.cols % (kAlignment / 2) == 0;
  }
  return weight.format == WeightFormat::kFp8Block && weight.cols % kAlignment == 0 &&
         weight.block_cols == kStepBytes && weight.block_rows % kWarpRows == 0;
}

bool TakesTensorCores(const MlpWeights& weights) {
  return TakesTensorCores(weights.gate_proj) && TakesTensorCores(weights.up_proj) &&
         TakesTensorCores(weights.down_proj) &&
         weights.gate_proj.format == weights.up_proj.format &&
         weights.gate_proj.block_rows == weights.up_proj.block_rows;
}

int64_t NumSegments(const WeightMatrix& weight) {
  return CeilDiv(NumSteps(weight), SegmentSteps(weight));
}

int64_t SegmentSteps(const WeightMatrix& weight) {
  const int64_t wanted = CeilDiv(kWantedBlocks, CeilDiv(weight.rows, kTileRows));
  const int64_t num_steps = NumSteps(weight);
  return std::max(CeilDiv(num_steps, wanted), std::min(num_steps, kLeastSegmentBytes / kStepBytes));
}

int64_t TileTokens(int64_t num_rows, int64_t most) {
  int64_t tokens = 8;
  while (tokens < num_rows && tokens < most) {
    tokens *= 2;
  }
  return tokens;
}

bool SplitsSegments(int64_t num_segments, int64_t num_rows) {
  return num_segments > 1 && num_rows <= kMostTileTokens;
}

}  // namespace hadal::cuda
