#pragma once

#include <cstdint>
#include <vector>

#include <absl/functional/function_ref.h>

#include "base/status.h"
#include "engine/model/weights.h"
#include "kernels/device.h"

namespace hadal {

/// Where tensors begin, in bytes.
inline constexpr int64_t kDeviceAlignment = 256;

/// Bytes that the tensors of `weights` take, the gaps between copies of them left out.
int64_t TensorBytes(const Weights& weights);

/// Makes the views of `weights` those of copies that lie on `device`, in `buffers`: one for each
/// layer, in which the matrices of all experts lie at equal distances. ResourceExhausted, before
/// anything is copied, when the device has too little room, or the host for the way there.
/// `progress` is told how many of TensorBytes are copied.
absl::Status MoveToDevice(const Device& device,
                          absl::FunctionRef<void(int64_t done_bytes)> progress,
                          Weights& weights,
                          std::vector<DeviceBuffer>& buffers);

}  // namespace hadal
