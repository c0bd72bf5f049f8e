#include "engine/packing/packed_file.h"

#include <charconv>
#include <cstring>
#include <utility>
#include <vector>

namespace hadal {
namespace {

// Rises when what the program packs from the same checkpoint is other bytes: the layout of panels,
// what is packed, the rounding, the pieces of the checksum.
constexpr std::string_view kVersion = "2";

constexpr std::string_view kVersionKey = "hadal_packing_version";
constexpr std::string_view kPackingKey = "weights";
constexpr std::string_view kIdentityKey = "source";
constexpr std::string_view kChecksumKey = "checksum";
constexpr size_t kDataAlignment = 4096;

std::string_view Find(const SafetensorsFile& file, std::string_view key) {
  const auto found = file.metadata.find(std::string(key));
  return found == file.metadata.end() ? std::string_view() : std::string_view(found->second);
}

absl::StatusOr<uint64_t> ParseChecksum(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (text.size() != 16 || error != std::errc() || end != text.data() + text.size()) {
    return InvalidArgument("it has no checksum");
  }
  return value;
}

absl::Status CheckMetadata(const SafetensorsFile& file, const PackedFileSpec& spec) {
  if (Find(file, kVersionKey) != kVersion) {
    return InvalidArgument("another version of this program wrote it");
  }
  if (Find(file, kPackingKey) != NameOf(spec.packing)) {
    return InvalidArgument("it does not hold %s weights", NameOf(spec.packing));
  }
  if (Find(file, kIdentityKey) != spec.identity) {
    return InvalidArgument("the checkpoint has changed since it was written");
  }
  return absl::OkStatus();
}

// The parser made sure that tensors lie one after the other.
absl::Status CheckTensors(const std::vector<TensorInfo>& tensors, const PackedLayout& layout) {
  if (tensors.size() != layout.matrices.size()) {
    return InvalidArgument("it holds %d matrices, not %d", tensors.size(), layout.matrices.size());
  }
  for (size_t i = 0; i < tensors.size(); ++i) {
    const PackedMatrix& matrix = layout.matrices[i];
    if (tensors[i].name != matrix.name) {
      return InvalidArgument("\"%s\" is where \"%s\" should be", tensors[i].name, matrix.name);
    }
    const std::vector<int64_t> shape = {matrix.num_panels(), matrix.panel_bytes()};
    if (tensors[i].dtype != DType::kU8 || tensors[i].shape != shape) {
      return InvalidArgument("\"%s\" is not U8 [%d, %d]", matrix.name, shape[0], shape[1]);
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string PackedFilePath(std::string_view folder, WeightPacking packing) {
  return absl::StrFormat("%s/hadal-%s.packed", folder, NameOf(packing));
}

std::string PackedFileHeader(const PackedFileSpec& spec, uint64_t checksum) {
  // Names and values are of our own making: nothing in them needs an escape in JSON.
  std::string text =
      absl::StrFormat(R"({"__metadata__":{"%s":"%s","%s":"%s","%s":"%s","%s":"%016x"})",
                      kVersionKey,
                      kVersion,
                      kPackingKey,
                      NameOf(spec.packing),
                      kIdentityKey,
                      spec.identity,
                      kChecksumKey,
                      checksum);
  for (const PackedMatrix& matrix : spec.layout.matrices) {
    absl::StrAppendFormat(&text,
                          R"(,"%s":{"dtype":"U8","shape":[%d,%d],"data_offsets":[%d,%d]})",
                          matrix.name,
                          matrix.num_panels(),
                          matrix.panel_bytes(),
                          matrix.offset,
                          matrix.offset + matrix.size_bytes());
  }
  text += "}";
  const size_t end = sizeof(uint64_t) + text.size();
  text.append((kDataAlignment - end % kDataAlignment) % kDataAlignment, ' ');
  const uint64_t length = text.size();
  std::string header(sizeof(length), '\0');
  std::memcpy(header.data(), &length, sizeof(length));
  return header + text;
}

absl::StatusOr<PackedFile> PackedFile::Open(const std::string& path, const PackedFileSpec& spec) {
  ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::Open(path));
  RETURN_IF_ERROR(Annotate(CheckMetadata(file, spec), path));
  RETURN_IF_ERROR(Annotate(CheckTensors(file.tensors, spec.layout), path));
  absl::StatusOr<uint64_t> checksum = ParseChecksum(Find(file, kChecksumKey));
  if (!checksum.ok()) {
    return Annotate(checksum.status(), path);
  }
  const std::span<const std::byte> bytes = file.file.bytes();
  const std::byte* const data = bytes.data() + bytes.size() - spec.layout.total_bytes;
  if (reinterpret_cast<uintptr_t>(data) % kDataAlignment != 0) {
    return InvalidArgument("%s: its data is not aligned", path);
  }
  return PackedFile{.file = std::move(file), .data = data, .checksum = *checksum};
}

}  // namespace hadal
