#pragma once

// The file of packed weights, beside the checkpoint that they were made from: "hadal-int8.packed".
// It is a safetensors file. Each packed matrix is a U8 tensor [panels, bytes of a panel] of the
// matrix's name, in the order of the layout; the data begins at a multiple of 4096 bytes. Its name
// does not end in .safetensors, since other programs take all such files for weights.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "engine/checkpoint/safetensors_file.h"
#include "engine/packing/packed_layout.h"

namespace hadal {

/// What a packed file must be to be of use.
struct PackedFileSpec {
  const PackedLayout& layout;
  WeightPacking packing;
  std::string_view identity;  // source_identity.h, of the checkpoint
};

/// Where `folder` holds its packed file.
std::string PackedFilePath(std::string_view folder, WeightPacking packing);

/// The bytes that come before the data. Their number does not depend on `checksum`.
std::string PackedFileHeader(const PackedFileSpec& spec, uint64_t checksum);

/// A packed file, mapped read-only.
struct PackedFile {
  /// The errors of SafetensorsFile::Open; InvalidArgument, saying what differs, when the file is
  /// not what `spec` asks for. The data is not read.
  static absl::StatusOr<PackedFile> Open(const std::string& path, const PackedFileSpec& spec);

  SafetensorsFile file;
  const std::byte* data = nullptr;  // layout.total_bytes, aligned to 4096
  uint64_t checksum = 0;            // of the data, as packer.h computes it
};

}  // namespace hadal
