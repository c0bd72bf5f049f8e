#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace hadal {

/// Reads "4GiB", "512MiB", "2GB" or "4294967296" (bytes). Units: KiB, MiB, GiB, TiB of 1024; kB,
/// MB, GB, TB of 1000. InvalidArgument for anything else and for negative numbers; OutOfRange for
/// what int64_t cannot hold.
absl::StatusOr<int64_t> ParseByteSize(std::string_view text);

/// `bytes` so that ParseByteSize gives the same number: in the largest unit of 1024 that divides
/// it. REQUIRES: bytes >= 0.
std::string FormatByteSize(int64_t bytes);

}  // namespace hadal
