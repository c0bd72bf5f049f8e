#pragma once

#include <vector>

#include "base/status.h"
#include "engine/checkpoint/model_config.h"
#include "engine/packing/packed_layout.h"
#include "kernels/device.h"
#include "kernels/weight_matrix.h"

namespace hadal {

/// A part of a layer's `kv_b_proj` as floats in memory that `copies` owns from now on: what
/// KvUpWeights::keys or values hold before they are rounded (kernels/mla_attention.h), zero in the
/// rows that fill up. ResourceExhausted when there is no room. REQUIRES: `part` is not kWhole.
absl::StatusOr<WeightMatrix> KvUpPart(const WeightMatrix& kv_b_proj,
                                      PackedPart part,
                                      const ModelConfig& config,
                                      std::vector<DeviceBuffer>& copies);

}  // namespace hadal
