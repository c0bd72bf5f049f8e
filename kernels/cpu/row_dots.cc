#include "kernels/cpu/row_dots.h"

#include <cstring>

#include "kernels/quantization/panels.h"

namespace hadal::cpu {
namespace {

// Input rows of the tiles' kind, if `weight` takes them.
SplitRows SplitFor(const VectorKernels& vector,
                   const InputRows& input,
                   const WeightMatrix& weight,
                   ExecutionContext& context) {
  if (vector.tiles == nullptr || !TakesTiles(weight)) {
    return {};
  }
  const int64_t num_groups = (input.count() + kSplitInputs - 1) / kSplitInputs;
  const auto groups =
      context.scratch.Allocate<bf16>(num_groups, NumSplitTiles(weight.cols) * kSplitTileSize);
  const auto split = [&](int64_t begin, int64_t end, int32_t /*worker*/) {
    for (int64_t group = begin; group < end; ++group) {
      const int64_t first = group * kSplitInputs;
      const int64_t count = std::min(kSplitInputs, input.count() - first);
      std::array<const float*, kSplitInputs> rows = {};
      for (int64_t i = 0; i < count; ++i) {
        rows[static_cast<size_t>(i)] = input.row(first + i);
      }
      vector.tiles().split_group(rows, count, weight.cols, groups.Row(group).data());
    }
  };
  context.pool.ParallelFor(num_groups, 1, split);
  return {
      .groups = groups.data, .group_stride = groups.strides[0], .first = 0, .count = input.count()};
}

// Elements of a row that are added before the next row's: sums of more inputs than registers hold
// are put aside between pieces, always the same ones.
constexpr int64_t kPiece = 512;

// Up to kTile inputs of a product, from a column on.
struct InputTile {
  std::array<const float*, kTile> rows = {};
  int64_t count = 0;
};

InputTile TileOf(const InputRows& input, int64_t first, int64_t col) {
  InputTile tile = {.count = std::min(kTile, input.count() - first)};
  for (int64_t i = 0; i < tile.count; ++i) {
    tile.rows[static_cast<size_t>(i)] = input.row(first + i) + col;
  }
  return tile;
}

// NativeDots of at most kTile inputs.
void FewDots(const VectorKernels& vector,
             const InputRows& input,
             const WeightMatrix& weight,
             int64_t row,
             int64_t num_rows,
             NativeSums& sums) {
  const auto* payload = static_cast<const bf16*>(weight.payload);
  for (int64_t r = 0; r < num_rows; r += kTile) {
    for (int64_t k = 0; k < weight.cols; k += kPiece) {
      const InputTile x = TileOf(input, 0, k);
      vector.dot_tile_bf16(x.rows,
                           x.count,
                           payload + (row + r) * weight.cols + k,
                           weight.cols,
                           std::min(kTile, num_rows - r),
                           std::min(kPiece, weight.cols - k),
                           sums[0][static_cast<size_t>(r / kTile)]);
    }
  }
}

}  // namespace

void NativeDots(const VectorKernels& vector,
                const InputRows& input,
                const WeightMatrix& weight,
                int64_t row,
                int64_t num_rows,
                NativeSums& sums) {
  constexpr int64_t kFewInputs = kTile - 1;  // widening pays for more
  const int64_t num_inputs = input.count();
  const int64_t num_tiles = (num_inputs + kTile - 1) / kTile;
  std::fill_n(sums.begin(), num_tiles, NativeSums::value_type{});
  if (num_inputs <= kFewInputs && weight.format == WeightFormat::kBf16) {
    return FewDots(vector, input, weight, row, num_rows, sums);
  }
  alignas(64) std::array<float, kNativeRows * kPiece> widened;
  for (int64_t k = 0; k < weight.cols; k += kPiece) {
    const int64_t piece = std::min(kPiece, weight.cols - k);
    for (int64_t r = 0; r < num_rows; ++r) {
      WidenWeights(vector, weight, row + r, k, piece, widened.data() + r * kPiece);
    }
    for (int64_t tile = 0; tile < num_tiles; ++tile) {
      const InputTile x = TileOf(input, tile * kTile, k);
      for (int64_t r = 0; r < num_rows; r += kTile) {
        vector.dot_tile(x.rows,
                        x.count,
                        widened.data() + r * kPiece,
                        kPiece,
                        std::min(kTile, num_rows - r),
                        piece,
                        sums[static_cast<size_t>(tile)][static_cast<size_t>(r / kTile)]);
      }
    }
  }
}

int64_t RowsPerItem(const VectorKernels& vector,
                    const WeightMatrix& weight,
                    int64_t num_rows,
                    int32_t num_threads) {
  const bool takes_many =
      IsQuantized(weight.format) || (vector.tiles != nullptr && TakesTiles(weight));
  return takes_many && num_rows >= 4 * num_threads * kTileRows ? kTileRows : kPanelRows;
}

InputRows MakeInput(const VectorKernels& vector,
                    const TensorView<const float, 2>& x,
                    const WeightMatrix& weight,
                    ExecutionContext& context) {
  InputRows input = {.x = x};
  if (IsQuantized(weight.format)) {
    input.rounded = RoundRows(vector.panels(), x, context);
  }
  input.split = SplitFor(vector, input, weight, context);
  return input;
}

InputRows GatherInput(const VectorKernels& vector,
                      const TensorView<const float, 2>& x,
                      std::span<const int32_t> indices,
                      const WeightMatrix& weight,
                      ExecutionContext& context) {
  InputRows input = {.x = x, .indices = indices, .gathered = true};
  if (IsQuantized(weight.format)) {
    input.rounded =
        GatherRows(RoundRows(vector.panels(), x, context), indices, weight.cols, context);
  }
  input.split = SplitFor(vector, input, weight, context);
  return input;
}

InputRows Part(const InputRows& input, int64_t begin, int64_t count) {
  InputRows part = input;
  if (input.gathered) {
    part.indices = input.indices.subspan(static_cast<size_t>(begin), static_cast<size_t>(count));
  } else {
    part.x = input.x.Slice(begin, count);
  }
  part.rounded = input.rounded.Part(begin, count, 0);
  part.split = input.split.Part(begin, count);
  return part;
}

void WidenWeights(const VectorKernels& vector,
                  const WeightMatrix& weight,
                  int64_t row,
                  int64_t begin,
                  int64_t n,
                  float* y) {
  const int64_t index = row * weight.cols + begin;
  switch (weight.format) {
    case WeightFormat::kF32:
      std::memcpy(y,
                  static_cast<const float*>(weight.payload) + index,
                  static_cast<size_t>(n) * sizeof(float));
      return;
    case WeightFormat::kBf16:
      vector.widen_bf16(static_cast<const bf16*>(weight.payload) + index, n, y);
      return;
    case WeightFormat::kF16:
      vector.widen_f16(static_cast<const f16*>(weight.payload) + index, n, y);
      return;
    case WeightFormat::kFp8Block: {
      const auto* payload = static_cast<const fp8_e4m3*>(weight.payload) + index;
      const int64_t scales_per_row = (weight.cols + weight.block_cols - 1) / weight.block_cols;
      const float* scales = weight.scales + row / weight.block_rows * scales_per_row;
      for (int64_t done = 0; done < n;) {
        const int64_t col = begin + done;
        const int64_t part = std::min(n - done, weight.block_cols - col % weight.block_cols);
        vector.widen_fp8(payload + done, scales[col / weight.block_cols], part, y + done);
        done += part;
      }
      return;
    }
    case WeightFormat::kInt8:
    case WeightFormat::kInt4:
      for (int64_t i = 0; i < n; ++i) {
        y[i] = PanelAt(weight, row, begin + i);
      }
      return;
  }
}

}  // namespace hadal::cpu
