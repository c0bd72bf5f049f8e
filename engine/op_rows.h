#pragma once

// Calls of ops, row by row. A row is what one token (or choice) brings and gets; each row of an op
// depends on its own inputs alone (and, in attention, on the cache), so that a row can be looked at
// and computed again without the others.

#include <cstdint>

#include "kernels/kernel_table.h"

namespace hadal {

int64_t NumRows(const EmbeddingArgs& args);
int64_t NumRows(const RmsNormArgs& args);
int64_t NumRows(const LinearArgs& args);
int64_t NumRows(const MlpArgs& args);
int64_t NumRows(const MlaProjectArgs& args);
int64_t NumRows(const MlaAttentionArgs& args);
int64_t NumRows(const MoeRouteArgs& args);
int64_t NumRows(const MoeExpertsArgs& args);
int64_t NumRows(const GatherRowsArgs& args);
int64_t NumRows(const CheckFiniteArgs& args);
int64_t NumRows(const SampleArgs& args);

/// The buffer that the call both reads and writes: [num_rows, width], or empty. Its rows must be
/// put back before a row can be computed again.
TensorView<float, 2> ChangedInput(const EmbeddingArgs& args);
TensorView<float, 2> ChangedInput(const RmsNormArgs& args);
TensorView<float, 2> ChangedInput(const LinearArgs& args);
TensorView<float, 2> ChangedInput(const MlpArgs& args);
TensorView<float, 2> ChangedInput(const MlaProjectArgs& args);
TensorView<float, 2> ChangedInput(const MlaAttentionArgs& args);
TensorView<float, 2> ChangedInput(const MoeRouteArgs& args);
TensorView<float, 2> ChangedInput(const MoeExpertsArgs& args);
TensorView<float, 2> ChangedInput(const GatherRowsArgs& args);
TensorView<float, 2> ChangedInput(const CheckFiniteArgs& args);
TensorView<float, 2> ChangedInput(const SampleArgs& args);

/// Whether the activations that go into a row are all finite. Weights and the cache do not count.
/// REQUIRES: the call has not run yet.
bool InputIsFinite(const EmbeddingArgs& args, int64_t row);
bool InputIsFinite(const RmsNormArgs& args, int64_t row);
bool InputIsFinite(const LinearArgs& args, int64_t row);
bool InputIsFinite(const MlpArgs& args, int64_t row);
bool InputIsFinite(const MlaProjectArgs& args, int64_t row);
bool InputIsFinite(const MlaAttentionArgs& args, int64_t row);
bool InputIsFinite(const MoeRouteArgs& args, int64_t row);
bool InputIsFinite(const MoeExpertsArgs& args, int64_t row);
bool InputIsFinite(const GatherRowsArgs& args, int64_t row);
bool InputIsFinite(const CheckFiniteArgs& args, int64_t row);
bool InputIsFinite(const SampleArgs& args, int64_t row);

/// Whether all that the call wrote for a row is finite, its row of the cache included; of a chosen
/// token, whether there is one; of check_finite, what it says.
bool OutputIsFinite(const EmbeddingArgs& args, int64_t row);
bool OutputIsFinite(const RmsNormArgs& args, int64_t row);
bool OutputIsFinite(const LinearArgs& args, int64_t row);
bool OutputIsFinite(const MlpArgs& args, int64_t row);
bool OutputIsFinite(const MlaProjectArgs& args, int64_t row);
bool OutputIsFinite(const MlaAttentionArgs& args, int64_t row);
bool OutputIsFinite(const MoeRouteArgs& args, int64_t row);
bool OutputIsFinite(const MoeExpertsArgs& args, int64_t row);
bool OutputIsFinite(const GatherRowsArgs& args, int64_t row);
bool OutputIsFinite(const CheckFiniteArgs& args, int64_t row);
bool OutputIsFinite(const SampleArgs& args, int64_t row);

/// The call for one row alone, with the same places for its output.
EmbeddingArgs OneRow(const EmbeddingArgs& args, int64_t row);
RmsNormArgs OneRow(const RmsNormArgs& args, int64_t row);
LinearArgs OneRow(const LinearArgs& args, int64_t row);
MlpArgs OneRow(const MlpArgs& args, int64_t row);
MlaProjectArgs OneRow(const MlaProjectArgs& args, int64_t row);
MlaAttentionArgs OneRow(const MlaAttentionArgs& args, int64_t row);
MoeRouteArgs OneRow(const MoeRouteArgs& args, int64_t row);
MoeExpertsArgs OneRow(const MoeExpertsArgs& args, int64_t row);
GatherRowsArgs OneRow(const GatherRowsArgs& args, int64_t row);
CheckFiniteArgs OneRow(const CheckFiniteArgs& args, int64_t row);
SampleArgs OneRow(const SampleArgs& args, int64_t row);

}  // namespace hadal
