#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace hadal {

/// A fast 64-bit checksum (XXH3) that tells bytes apart which were damaged by accident. About as
/// fast as memory is read.
uint64_t Checksum(std::span<const std::byte> bytes);

}  // namespace hadal
