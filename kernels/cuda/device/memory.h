#pragma once

#include "kernels/device.h"

namespace hadal::cuda {

/// The memory of the GPU that this process uses: the first one that CUDA shows it
/// (CUDA_VISIBLE_DEVICES chooses).
const Device& GpuDevice();

/// Unavailable, with the reason, when there is no GPU that the kernels were built for.
absl::Status CheckGpu();

}  // namespace hadal::cuda
