#pragma once

#include <cstdint>

namespace hadal {

/// An id of the vocabulary. A plain integer, because spans of it reach kernels.
using TokenId = int32_t;

/// Where there is none.
inline constexpr TokenId kNoToken = -1;

}  // namespace hadal
