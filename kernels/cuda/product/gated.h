#pragma once

#include <cstdint>

#include "kernels/cuda/product/input_rows.h"
#include "kernels/moe_experts.h"

namespace hadal::cuda {

/// Rows of gated products that go through one expert together: a tile is at most `tile_tokens` of
/// them (TileTokens of product/plan.h). A row is a pair of a token and one of its experts, number
/// token * top_k + k. All in device memory.
struct ExpertTiles {
  /// Few pairs: each block finds its own here [num_tokens, top_k], and tile i is that of pair i,
  /// or none. Null: there are lists, or one expert for all.
  const int32_t* ids = nullptr;
  int64_t ids_stride = 0;

  /// Lists of many pairs, made before. Null with one expert: tile i begins at row i * tile_tokens.
  const int32_t* pairs = nullptr;      // [num_rows] sorted by expert
  const int32_t* experts = nullptr;    // [max_tiles]
  const int32_t* begins = nullptr;     // [max_tiles] the tile's first among `pairs`
  const int32_t* ends = nullptr;       // [n_routed_experts] behind the expert's last
  const int32_t* num_tiles = nullptr;  // [1]

  int64_t max_tiles = 0;
  int64_t num_rows = 0;
  int64_t tile_tokens = 0;
  int32_t top_k = 1;
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

/// hidden[r] = silu(gate · x) * (up · x), x being that of row r's token.
/// REQUIRES: both take tensor cores, in one format.
InputRows MultiplyGated(const InputRows& x,
                        const ExpertMatrices& gate,
                        const ExpertMatrices& up,
                        const ExpertTiles& tiles,
                        Scratch& scratch);

/// What becomes of products with an expert's last matrix: y[t] += the sum over k of
/// weights[t, k] * its row of pair (t, k), in the order of k.
struct Combination {
  TensorView<const float, 2> weights;  // [num_tokens, top_k]
  TensorView<float, 2> y;              // [num_tokens, hidden_size]
};

/// Multiplies x, a row for each pair, by `matrices` and combines what comes out.
/// REQUIRES: the matrices take tensor cores.
void MultiplyAndCombine(const InputRows& x,
                        const ExpertMatrices& matrices,
                        const ExpertTiles& tiles,
                        const Combination& combination,
                        Scratch& scratch);

}  // namespace hadal::cuda
