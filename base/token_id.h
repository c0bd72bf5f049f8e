#pragma once

#include <cstdint>

namespace hadal {

/// An id of the vocabulary. A plain integer, because spans of it reach kernels.
using TokenId = int32_t;

}  // namespace hadal
