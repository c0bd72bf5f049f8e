#pragma once

#include <cstdint>

#include "kernels/cuda/product/input_rows.h"
#include "kernels/moe_experts.h"

namespace hadal::cuda {

/// Which expert a pair of a token and one of its experts goes through. Pairs are numbered
/// token * experts_per_token + k; the first k are those of ids, behind them come shared experts,
/// numbered from num_routed on.
struct ExpertPairs {
  const int32_t* ids = nullptr;  // [num_tokens, num_chosen], on the device
  int64_t ids_stride = 0;
  int32_t num_chosen = 0;
  int32_t num_routed = 0;
  int32_t experts_per_token = 1;
};

/// Rows of gated products that go through one expert together: a tile is at most `tile_tokens` of
/// them (TileTokens of product/plan.h), each a pair. All in device memory.
struct ExpertTiles {
  /// Without ids there is one expert, and tile i begins at row i * tile_tokens.
  ExpertPairs pairs = {};

  /// Lists of many pairs, made before. Null for few: each block finds its own, and tile i is that
  /// of pair i, or none.
  const int32_t* sorted = nullptr;     // [num_rows] pairs by expert
  const int32_t* experts = nullptr;    // [max_tiles]
  const int32_t* begins = nullptr;     // [max_tiles] the tile's first among them
  const int32_t* ends = nullptr;       // [num_experts] behind the expert's last
  const int32_t* num_tiles = nullptr;  // [1]

  int64_t max_tiles = 0;
  int64_t num_rows = 0;
  int64_t tile_tokens = 0;
};

/// One matrix of each of some experts, at equal distances.
struct ExpertMatrices {
  WeightMatrix first = {};
  int64_t row_cols = 0;       // from a row to the next
  int64_t payload_bytes = 0;  // from a matrix to the next
  int64_t num_scales = 0;     // likewise
};

/// The same of routed experts and of shared ones, which are of one shape.
struct AllExperts {
  ExpertMatrices routed = {};
  ExpertMatrices shared = {};
  int64_t num_routed = 1;
};

/// CHECKs that they are.
ExpertMatrices MatricesOf(const TensorView<const MlpWeights, 1>& experts,
                          WeightMatrix MlpWeights::*part);

/// A matrix cut along its rows, or its columns, in parts of so many.
ExpertMatrices CutRows(const WeightMatrix& whole, int64_t rows);
ExpertMatrices CutColumns(const WeightMatrix& whole, int64_t cols);

/// All rows through one expert.
ExpertTiles OneExpert(int64_t num_rows);

/// hidden[r] = silu(gate · x) * (up · x), x being that of row r's token.
/// REQUIRES: both take tensor cores, in one format.
InputRows MultiplyGated(const InputRows& x,
                        const AllExperts& gate,
                        const AllExperts& up,
                        const ExpertTiles& tiles,
                        Scratch& scratch);

/// What becomes of products with an expert's last matrix: y[t] += the sum over k of
/// weights[t, k] * its row of pair (t, k), in the order of k. Shared experts have a weight of 1.
struct Combination {
  TensorView<const float, 2> weights;  // [num_tokens, num_chosen]
  TensorView<float, 2> y;              // [num_tokens, hidden_size]
};

/// Multiplies x, a row for each pair, by `matrices` and combines what comes out.
/// REQUIRES: the matrices take tensor cores.
void MultiplyAndCombine(const InputRows& x,
                        const AllExperts& matrices,
                        const ExpertTiles& tiles,
                        const Combination& combination,
                        Scratch& scratch);

}  // namespace hadal::cuda
