#pragma once

#include "base/status.h"
#include "kernels/kernel_table.h"

namespace hadal::cuda {

/// The CUDA back end of this build on this machine; Unimplemented when there is none, with the
/// reason.
absl::StatusOr<KernelTable> MakeTable();

}  // namespace hadal::cuda
