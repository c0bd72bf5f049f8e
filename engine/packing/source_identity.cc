#include "engine/packing/source_identity.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>

#include "base/mapped_file.h"
#include "engine/packing/checksum.h"

namespace hadal {
namespace {

constexpr size_t kMaxConfigBytes = size_t{16} << 20U;
constexpr size_t kSamples = 4;
constexpr size_t kSampleBytes = 4096;

// REQUIRES: a file that was parsed.
std::span<const std::byte> HeaderOf(std::span<const std::byte> file) {
  uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof(length));
  return file.first(sizeof(length) + length);
}

std::string Describe(const MappedFile& file) {
  const std::span<const std::byte> bytes = file.bytes();
  std::string text = absl::StrFormat("%s %d bytes written at %d: %016x",
                                     std::filesystem::path(file.path()).filename().string(),
                                     bytes.size(),
                                     file.modified_s(),
                                     Checksum(HeaderOf(bytes)));
  const size_t sample_bytes = std::min(kSampleBytes, bytes.size());
  for (size_t i = 1; i <= kSamples; ++i) {
    const size_t begin = (bytes.size() - sample_bytes) * i / kSamples;
    text += absl::StrFormat(" %016x", Checksum(bytes.subspan(begin, sample_bytes)));
  }
  return text + "\n";
}

}  // namespace

absl::StatusOr<std::string> SourceIdentity(const Checkpoint& checkpoint) {
  ASSIGN_OR_RETURN(std::string text,
                   ReadTextFile(checkpoint.dir() + "/config.json", kMaxConfigBytes));
  for (const MappedFile& file : checkpoint.files()) {
    text += Describe(file);
  }
  return absl::StrFormat("%016x", Checksum(std::as_bytes(std::span(text))));
}

}  // namespace hadal
