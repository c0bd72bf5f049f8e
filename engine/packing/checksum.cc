#include "engine/packing/checksum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace hadal {

uint64_t Checksum(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

}  // namespace hadal
