#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"

namespace hadal {

/// A whole file mapped read-only; pages are read when touched. The bytes live as long as the
/// object. Movable. Any thread may read.
class MappedFile {
 public:
  /// NotFound when the file is missing; InvalidArgument when it cannot be opened or is not a
  /// regular file. An empty file gives empty bytes.
  static absl::StatusOr<MappedFile> Open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, size_}; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  MappedFile(std::string path, const std::byte* data, size_t size)
      : path_(std::move(path)), data_(data), size_(size) {}

  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

/// The whole text of a small file. InvalidArgument when it is larger than `max_bytes`; otherwise
/// the errors of MappedFile::Open.
absl::StatusOr<std::string> ReadTextFile(const std::string& path, size_t max_bytes);

}  // namespace hadal
