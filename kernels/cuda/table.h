#pragma once

#include "base/status.h"
#include "kernels/kernel_table.h"

namespace hadal::cuda {

/// The CUDA back end; Unimplemented when this build has none, Unavailable when this machine has no
/// GPU for it, with the reason. Its ops take device memory, and return before they are done:
/// Device::copy waits.
absl::StatusOr<KernelTable> MakeTable();

/// The same ops for arguments in host memory: each call copies them to the GPU and the results
/// back. For tests, `hadal doctor`, and to find an op at fault.
absl::StatusOr<KernelTable> MakeStagedTable();

}  // namespace hadal::cuda
