#include "engine/model/device_step.h"

#include <algorithm>
#include <bit>
#include <cstddef>

#include "base/check.h"
#include "base/checked_cast.h"

namespace hadal {
namespace {

constexpr size_t kAlignment = 64;

template <typename T, size_t Rank>
size_t SizeBytes(const TensorView<T, Rank>& view) {
  return CheckedCast<size_t>(view.num_elements()) * sizeof(T);
}

// With the gap to the next one's place.
template <typename T, size_t Rank>
size_t PlaceBytes(const TensorView<T, Rank>& view) {
  return (SizeBytes(view) + kAlignment - 1) / kAlignment * kAlignment;
}

// Calls visit(view) for each of the step's tensors.
template <typename Visitor>
void ForEachInput(Step& step, Visitor visit) {
  visit(step.angles.cos);
  visit(step.angles.sin);
  visit(step.token_ids);
  visit(step.positions);
  visit(step.slots);
  visit(step.query_starts);
  visit(step.block_tables);
}

// Rows without gaps are copied as one.
template <typename T>
void CheckDense(const TensorView<T, 2>& rows) {
  CHECK(rows.extent(0) <= 1 || rows.strides[0] == rows.extent(1));
}

// Few widths: multiples of the eight blocks that attention takes at a time, and further up two for
// each doubling.
int64_t WidthOnDevice(int64_t max_blocks) {
  const auto octave = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(max_blocks)));
  const int64_t unit = std::max<int64_t>(8, octave / 4);
  return (max_blocks + unit - 1) / unit * unit;
}

// What is added names block 0, as positions behind the last one may: nobody reads there.
TensorView<const int32_t, 2> Widen(const TensorView<const int32_t, 2>& block_tables,
                                   ScratchArena& scratch) {
  const auto wide =
      scratch.Allocate<int32_t>(block_tables.extent(0), WidthOnDevice(block_tables.extent(1)));
  for (int64_t sequence = 0; sequence < wide.extent(0); ++sequence) {
    const auto blocks = block_tables.Row(sequence);
    const auto place = wide.Row(sequence);
    std::fill(std::copy(blocks.begin(), blocks.end(), place.begin()), place.end(), 0);
  }
  return wide;
}

}  // namespace

Step OnDevice(const Step& step) {
  const Device& device = *step.kernels.device;
  Step moved = step;
  if (device.is_host) {
    return moved;
  }
  moved.block_tables = Widen(step.block_tables, HostScratch(step.context));
  size_t size_bytes = 0;
  ForEachInput(moved, [&](const auto& view) { size_bytes += PlaceBytes(view); });
  std::byte* const host = HostScratch(step.context).Allocate<std::byte>(size_bytes).data;
  std::byte* const there = step.context.scratch.Allocate<std::byte>(size_bytes).data;
  size_t offset = 0;
  ForEachInput(moved, [&]<typename View>(View& view) {
    CopyHost(host + offset, view.data, SizeBytes(view));
    view.data = reinterpret_cast<decltype(View::data)>(there + offset);
    offset += PlaceBytes(view);
  });
  device.copy(there, host, size_bytes);
  return moved;
}

TensorView<float, 2> RoomOnDevice(const TensorView<float, 2>& rows,
                                  const Device& device,
                                  ExecutionContext& context) {
  return device.is_host ? rows : context.scratch.Allocate<float>(rows.extent(0), rows.extent(1));
}

void FetchRows(const TensorView<const float, 2>& room,
               const TensorView<float, 2>& rows,
               const Device& device) {
  if (!device.is_host) {
    CheckDense(rows);
    device.copy(rows.data, room.data, SizeBytes(rows));
  }
}

ExpertLog::ExpertLog(const Step& step, ExpertLoad& load)
    : step_(step),
      load_(load),
      expert_ids_(step.context.scratch.Allocate<int32_t>(
          load.num_moe_layers(), step.num_tokens(), step.config.num_experts_per_tok)) {}

TensorView<int32_t, 2> ExpertLog::NextLayer() {
  CHECK_LT(num_layers_, expert_ids_.extent(0));
  int32_t* const first = expert_ids_.data + num_layers_ * expert_ids_.strides[0];
  ++num_layers_;
  return MakeView(first, expert_ids_.extent(1), expert_ids_.extent(2));
}

void ExpertLog::Count() {
  const auto host =
      HostScratch(step_.context)
          .Allocate<int32_t>(expert_ids_.extent(0), expert_ids_.extent(1), expert_ids_.extent(2));
  step_.kernels.device->copy(host.data, expert_ids_.data, SizeBytes(host));
  for (int64_t layer = 0; layer < host.extent(0); ++layer) {
    load_.CountLayer(MakeView(static_cast<const int32_t*>(host.data) + layer * host.strides[0],
                              host.extent(1),
                              host.extent(2)));
  }
}

}  // namespace hadal
