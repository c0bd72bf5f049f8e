#include "engine/model/hidden_rows.h"

namespace hadal {

void GatherRows(const KernelTable& kernels,
                const TensorView<const float, 2>& hidden,
                std::span<const int32_t> rows,
                ExecutionContext& context,
                const TensorView<float, 2>& gathered) {
  const Device& device = *kernels.device;
  const ScratchScope scope(context.scratch);
  GatherRowsArgs args = {
      .x = hidden, .rows = MakeView(rows.data(), std::ssize(rows)), .y = gathered};
  if (!device.is_host) {
    const auto rows_there = context.scratch.Allocate<int32_t>(std::ssize(rows));
    device.copy(rows_there.data, rows.data(), rows.size_bytes());
    args.rows = rows_there;
  }
  kernels.gather_rows(args, context);
}

TensorView<const int32_t, 1> CheckFinite(const KernelTable& kernels,
                                         const TensorView<const float, 2>& hidden,
                                         ExecutionContext& context) {
  const Device& device = *kernels.device;
  const auto is_finite = HostScratch(context).Allocate<int32_t>(hidden.extent(0));
  if (device.is_host) {
    kernels.check_finite({.x = hidden, .is_finite = is_finite}, context);
    return is_finite;
  }
  const ScratchScope scope(context.scratch);
  const auto there = context.scratch.Allocate<int32_t>(hidden.extent(0));
  kernels.check_finite({.x = hidden, .is_finite = there}, context);
  device.copy(
      is_finite.data, there.data, static_cast<size_t>(is_finite.num_elements()) * sizeof(int32_t));
  return is_finite;
}

}  // namespace hadal
