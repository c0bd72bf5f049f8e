#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "engine/checkpoint/checkpoint.h"
#include "kernels/device.h"
#include "kernels/weight_matrix.h"

namespace hadal {

/// The tensor's bytes where its elements are aligned: in the file, or a copy that `copies` owns
/// from now on. ResourceExhausted when a copy finds no room.
absl::StatusOr<const void*> AlignedData(const TensorInfo& tensor,
                                        std::vector<DeviceBuffer>& copies);

/// A matrix as the checkpoint stores it, with its scales where it has some. The errors of
/// AlignedData. REQUIRES: `name` is a matrix that the config asks for. Borrows `checkpoint` and
/// `copies`.
absl::StatusOr<WeightMatrix> StoredMatrix(const Checkpoint& checkpoint,
                                          const std::string& name,
                                          std::vector<DeviceBuffer>& copies);

}  // namespace hadal
