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

// Moves what the views show to the device's memory, by one copy, which begins here.
template <typename... Views>
void Upload(const Device& device, ExecutionContext& context, Views&... views) {
  const size_t size_bytes = (PlaceBytes(views) + ...);
  std::byte* const host = HostScratch(context).Allocate<std::byte>(size_bytes).data;
  std::byte* const there = context.scratch.Allocate<std::byte>(size_bytes).data;
  size_t offset = 0;
  const auto move = [&]<typename View>(View& view) {
    if (view.num_elements() > 0) {
      CopyHost(host + offset, view.data, SizeBytes(view));
    }
    view.data = reinterpret_cast<decltype(View::data)>(there + offset);
    offset += PlaceBytes(view);
  };
  (move(views), ...);
  device.begin_copy(there, host, size_bytes);
}

// Rows without gaps are copied as one.
template <typename T>
void CheckDense(const TensorView<T, 2>& rows) {
  CHECK(rows.extent(0) <= 1 || rows.strides[0] == rows.extent(1));
}

// What is added names block 0, as positions behind the last one may: nobody reads there.
TensorView<const int32_t, 2> Widen(const TensorView<const int32_t, 2>& block_tables,
                                   ScratchArena& scratch) {
  const auto wide =
      scratch.Allocate<int32_t>(block_tables.extent(0), TableWidthOnDevice(block_tables.extent(1)));
  for (int64_t sequence = 0; sequence < wide.extent(0); ++sequence) {
    const auto blocks = block_tables.Row(sequence);
    const auto place = wide.Row(sequence);
    std::fill(std::copy(blocks.begin(), blocks.end(), place.begin()), place.end(), 0);
  }
  return wide;
}

}  // namespace

int64_t TableWidthOnDevice(int64_t max_blocks) {
  const auto octave = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(max_blocks)));
  const int64_t unit = std::max<int64_t>(8, octave / 4);
  return (max_blocks + unit - 1) / unit * unit;
}

Step OnDevice(const Step& step) {
  const Device& device = *step.kernels.device;
  Step moved = step;
  if (device.is_host) {
    return moved;
  }
  moved.block_tables = Widen(step.block_tables, HostScratch(step.context));
  Upload(device,
         step.context,
         moved.angles.cos,
         moved.angles.sin,
         moved.token_ids,
         moved.positions,
         moved.slots,
         moved.query_starts,
         moved.block_tables,
         moved.previous,
         moved.tail.rows,
         moved.tail.choices);
  return moved;
}

StepTail OnDevice(const StepTail& tail, const Device& device, ExecutionContext& context) {
  StepTail moved = tail;
  if (!device.is_host) {
    Upload(device, context, moved.rows, moved.choices);
  }
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

TensorView<int32_t, 2> ExpertLog::NextLayer() {
  CHECK_LT(num_layers_, expert_ids_.extent(0));
  int32_t* const first = expert_ids_.data + num_layers_ * expert_ids_.strides[0];
  ++num_layers_;
  return MakeView(first, expert_ids_.extent(1), expert_ids_.extent(2));
}

}  // namespace hadal
