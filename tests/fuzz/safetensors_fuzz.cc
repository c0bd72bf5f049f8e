// Any bytes go to the header parser; what it accepts must cover the data exactly.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "engine/checkpoint/safetensors_file.h"

namespace hadal {
namespace {

void CheckHeader(std::span<const std::byte> file_prefix, uint64_t file_size) {
  const auto header = ParseSafetensorsHeader(file_prefix, file_size);
  if (!header.ok() || header->tensors.empty()) {
    return;
  }
  uint64_t covered = header->tensors.front().begin;
  CHECK_LE(covered, file_prefix.size());
  for (const TensorEntry& entry : header->tensors) {
    CHECK_EQ(entry.begin, covered);
    CHECK_GE(entry.end, entry.begin);
    auto num_bytes = static_cast<uint64_t>(SizeOf(entry.dtype));
    for (const int64_t extent : entry.shape) {
      CHECK_GE(extent, 0);
      num_bytes *= static_cast<uint64_t>(extent);
    }
    CHECK_EQ(entry.end - entry.begin, num_bytes);
    covered = entry.end;
  }
  CHECK_EQ(covered, file_size);
}

}  // namespace
}  // namespace hadal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  hadal::CheckHeader(bytes, size);
  hadal::CheckHeader(bytes, uint64_t{size} + 4096);  // a header whose data is not mapped
  return 0;
}
