#include "kernels/cpu/panel/panel_product.h"

#include <cstring>

namespace hadal::cpu {
namespace {

// Int4 panels are widened piece by piece, so that what was widened is still in the L1 cache when
// the input rows come.
constexpr int64_t kPieceGroups = 4;
constexpr int64_t kPieceChunks = kPieceGroups * kGroupCols / kChunkCols;
constexpr int64_t kPiecePanelBytes = kPieceGroups * GroupBytes(WeightFormat::kInt8);
using WidenedPiece = std::array<std::byte, kTilePanels * kPiecePanelBytes>;

struct RowStorage {
  TensorView<int8_t, 2> values;
  TensorView<float, 2> scales;
  TensorView<int32_t, 2> sums;
  Int8Rows rows;
};

RowStorage AllocateRows(int64_t count, int64_t cols, ScratchArena& scratch) {
  RowStorage storage = {.values = scratch.Allocate<int8_t>(count, PaddedCols(cols)),
                        .scales = scratch.Allocate<float>(count, NumGroups(cols)),
                        .sums = scratch.Allocate<int32_t>(count, PaddedCols(cols) / kSubgroupCols),
                        .rows = {}};
  storage.rows = {.values = storage.values.data,
                  .scales = storage.scales.data,
                  .sums = storage.sums.data,
                  .values_stride = storage.values.strides[0],
                  .scales_stride = storage.scales.strides[0],
                  .sums_stride = storage.sums.strides[0],
                  .count = count};
  return storage;
}

// Runs body over the rows: at once when they are little work, else by the pool.
void ForRows(int64_t count, int64_t cols, ThreadPool& pool, ThreadPool::Body body) {
  constexpr int64_t kElementsPerItem = 16384;
  pool.ParallelFor(
      count, std::max(int64_t{1}, kElementsPerItem / std::max(int64_t{1}, cols)), body);
}

}  // namespace

Int8Rows RoundRows(const PanelKernels& panels,
                   const TensorView<const float, 3>& x,
                   int64_t cols,
                   ExecutionContext& context) {
  const int64_t num_inner = x.extent(1);
  const RowStorage storage = AllocateRows(x.extent(0) * num_inner, cols, context.scratch);
  ForRows(
      storage.rows.count, cols, context.pool, [&](int64_t begin, int64_t end, int32_t /*worker*/) {
        for (int64_t i = begin; i < end; ++i) {
          panels.round_row(x.Row(i / num_inner, i % num_inner).first(static_cast<size_t>(cols)),
                           storage.values.Row(i).data(),
                           storage.scales.Row(i).data(),
                           storage.sums.Row(i).data());
        }
      });
  return storage.rows;
}

Int8Rows RoundRows(const PanelKernels& panels,
                   const TensorView<const float, 2>& x,
                   ExecutionContext& context) {
  const TensorView<const float, 3> rows = {
      x.data, {x.extent(0), 1, x.extent(1)}, {x.strides[0], x.strides[0], 1}};
  return RoundRows(panels, rows, x.extent(1), context);
}

Int8Rows GatherRows(const Int8Rows& rows,
                    std::span<const int32_t> indices,
                    int64_t cols,
                    ExecutionContext& context) {
  const RowStorage storage = AllocateRows(std::ssize(indices), cols, context.scratch);
  ForRows(
      std::ssize(indices), cols, context.pool, [&](int64_t begin, int64_t end, int32_t /*worker*/) {
        for (int64_t i = begin; i < end; ++i) {
          const Int8Rows source = rows.Part(indices[static_cast<size_t>(i)], 1, 0);
          const auto copy = [](const auto* from, auto to) {
            std::memcpy(to.data(), from, to.size_bytes());
          };
          copy(source.values, storage.values.Row(i));
          copy(source.scales, storage.scales.Row(i));
          copy(source.sums, storage.sums.Row(i));
        }
      });
  return storage.rows;
}

void MultiplyPanels(const PanelKernels& panels,
                    const Int8Rows& x,
                    const WeightMatrix& weight,
                    int64_t first_panel,
                    int64_t num_panels,
                    PanelSums& sums) {
  const int64_t panel_stride = PanelBytes(weight.format, weight.cols);
  const int64_t num_chunks = PaddedCols(weight.cols) / kChunkCols;
  PanelTile tile = {
      .x = x,
      .panels = static_cast<const std::byte*>(weight.payload) + first_panel * panel_stride,
      .panel_stride = panel_stride,
      .num_panels = num_panels,
      .num_chunks = num_chunks,
      .y = sums.front().data()};
  std::fill_n(tile.y, x.count * kTileRows, 0.0F);
  if (weight.format == WeightFormat::kInt8) {
    return panels.int8_tile(tile);
  }
  if (x.count <= panels.most_int4_rows) {
    return panels.int4_tile(tile);
  }
  alignas(64) WidenedPiece widened;
  PanelTile piece = tile;
  piece.panels = widened.data();
  piece.panel_stride = kPiecePanelBytes;
  for (int64_t chunk = 0; chunk < num_chunks; chunk += kPieceChunks) {
    const int64_t group = chunk * kChunkCols / kGroupCols;
    piece.num_chunks = std::min(kPieceChunks, num_chunks - chunk);
    piece.x = x.Part(0, x.count, group);
    for (int64_t p = 0; p < num_panels; ++p) {
      panels.widen_int4(tile.panels + p * panel_stride + group * GroupBytes(WeightFormat::kInt4),
                        piece.num_chunks,
                        widened.data() + p * kPiecePanelBytes);
    }
    panels.int8_tile(piece);
  }
}

}  // namespace hadal::cpu
