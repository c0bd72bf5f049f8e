// Stands in for the CUDA back end in builds without it, so that callers need no conditions.

#include "kernels/cuda/table.h"

namespace hadal::cuda {

absl::StatusOr<KernelTable> MakeTable() {
  return Unimplemented("built without CUDA");
}

absl::StatusOr<KernelTable> MakeStagedTable() {
  return MakeTable();
}

}  // namespace hadal::cuda
