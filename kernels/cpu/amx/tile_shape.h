#pragma once

#include <cstdint>

namespace hadal::cpu {

/// A tile register: 16 rows of 64 bytes (Intel 64 and IA-32 Architectures Software Developer's
/// Manual, volume 1, section 18.2).
inline constexpr int64_t kTileRowBytes = 64;
inline constexpr int64_t kTileBytes = 16 * kTileRowBytes;

}  // namespace hadal::cpu
