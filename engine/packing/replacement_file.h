#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"

namespace hadal {

/// A file in the making, beside the place where it belongs, which it takes at once and whole:
/// readers see the file that was there before or all of the new one. Until then it is
/// "PATH.partial", locked: one process at a time makes it, and what a process that died left of it
/// is overwritten by the next. All errors are Unavailable: the disk is full, the folder is
/// read-only, another process is at it, and so on.
class ReplacementFile {
 public:
  /// Makes room for `size_bytes`, if the file system can.
  static absl::StatusOr<ReplacementFile> Create(std::string path, int64_t size_bytes);

  ReplacementFile(ReplacementFile&& other) noexcept;
  ReplacementFile& operator=(ReplacementFile&&) = delete;
  ReplacementFile(const ReplacementFile&) = delete;
  ReplacementFile& operator=(const ReplacementFile&) = delete;
  /// Removes what was not committed.
  ~ReplacementFile();

  /// Any thread.
  [[nodiscard]] absl::Status WriteAt(int64_t offset, std::span<const std::byte> bytes) const;

  /// When all is written: brings it to the disk, then to its place. Called once.
  absl::Status Commit();

 private:
  ReplacementFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::string path_;
  int fd_ = -1;  // -1: moved from, or committed
};

}  // namespace hadal
