#pragma once

#include <cstdint>
#include <optional>

#include <boost/json/object.hpp>

#include "base/status.h"

namespace hadal {

/// Weights in fp8 e4m3 with one f32 scale for each block of [block_rows, block_cols] elements:
/// W[o, i] = q[o, i] · weight_scale_inv[o / block_rows, i / block_cols]. The last blocks of a
/// matrix may be cut.
struct Fp8BlockQuantization {
  int64_t block_rows = 0;
  int64_t block_cols = 0;
};

/// Reads config.json `quantization_config`; nothing when it is absent or null. InvalidArgument
/// names the key; Unimplemented for any method, format or option other than DeepSeek's block fp8.
absl::StatusOr<std::optional<Fp8BlockQuantization>> ParseFp8Quantization(
    const boost::json::object& config);

}  // namespace hadal
