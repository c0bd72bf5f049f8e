#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/mapped_file.h"
#include "base/status.h"

namespace hadal {

/// One tensor as the header of a safetensors file describes it.
struct TensorEntry {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  uint64_t begin = 0;  // bytes from the start of the file
  uint64_t end = 0;
};

/// What a safetensors file says of itself.
struct SafetensorsHeader {
  std::vector<TensorEntry> tensors;             // in the order of their data
  std::map<std::string, std::string> metadata;  // of its "__metadata__"; empty without
};

/// The header of a safetensors file of `file_size` bytes. `file_prefix` is the file, or as much of
/// its start as covers the header.
///
/// Format: an 8-byte little-endian length n, n bytes of JSON {name: {dtype, shape, data_offsets}},
/// then the data. InvalidArgument, naming the tensor where there is one, unless the header is
/// whole, at most 100 MB and strict JSON, each entry has just these three keys, each shape agrees
/// with its byte range, and the ranges cover the data without overlap, gap or rest. Linearithmic in
/// the header's size; any bytes are safe.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::span<const std::byte> file_prefix,
                                                         uint64_t file_size);

/// One tensor of an open file.
struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> data;  // row-major, little-endian, perhaps not aligned
  std::string file;                 // path of the file that holds it
};

/// A safetensors file, mapped read-only: data pages are read when touched. The bytes of its tensors
/// live as long as `file` and stay where they are when it moves. Any thread may read.
struct SafetensorsFile {
  /// The errors of MappedFile::Open and of ParseSafetensorsHeader; they name the file.
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);

  MappedFile file;
  std::vector<TensorInfo> tensors;              // in the order of their data
  std::map<std::string, std::string> metadata;  // of its "__metadata__"
};

}  // namespace hadal
