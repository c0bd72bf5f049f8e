#pragma once

#include <cstdint>

#include "kernels/cuda/product/split_rows.h"
#include "kernels/moe_experts.h"

namespace hadal::cuda {

/// Rows of a gated product that go through one expert together: a tile is at most TileTokens rows
/// (product/plan.h). All in device memory. With null lists there is one expert, and tile i begins
/// at row i * TileTokens.
struct ExpertTiles {
  const int32_t* experts = nullptr;    // [max_tiles]
  const int32_t* begins = nullptr;     // [max_tiles] first row of the tile
  const int32_t* ends = nullptr;       // [n_routed_experts] row behind the expert's last
  const int32_t* num_tiles = nullptr;  // [1]
  int64_t max_tiles = 0;
  int64_t num_rows = 0;
  int64_t tile_tokens = 0;
};

/// One matrix of every expert, at equal distances.
struct ExpertMatrices {
  WeightMatrix first = {};
  int64_t payload_bytes = 0;  // from one to the next
  int64_t num_scales = 0;     // likewise
};

/// CHECKs that they are.
ExpertMatrices MatricesOf(const TensorView<const MlpWeights, 1>& experts,
                          WeightMatrix MlpWeights::*part);

/// All rows through one expert.
ExpertTiles OneExpert(int64_t num_rows);

/// hidden[r] = silu(gate · x) * (up · x), split, x being row r, or row inputs[r].
/// REQUIRES: both take tensor cores, in one format.
SplitRows MultiplyGated(const SplitRows& x,
                        const int32_t* inputs,
                        const ExpertMatrices& gate,
                        const ExpertMatrices& up,
                        const ExpertTiles& tiles,
                        Scratch& scratch);

/// y[r] = matrix of r's expert · x[r]. REQUIRES: the matrices take tensor cores.
void MultiplyExperts(const SplitRows& x,
                     const ExpertMatrices& matrices,
                     const ExpertTiles& tiles,
                     const TensorView<float, 2>& y);

}  // namespace hadal::cuda
