#pragma once

#include <cstdint>

namespace hadal {

/// A row of the model's embedding table. A plain integer, because spans of it reach kernels.
using TokenId = int32_t;

}  // namespace hadal
