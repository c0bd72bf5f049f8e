#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace hadal {

/// What paths of files begin with that are linked into the program: "builtin:demo/config.json".
/// Whatever reads files by path reads them too.
inline constexpr std::string_view kBuiltinPrefix = "builtin:";

struct BuiltinFile {
  std::string_view path;  // with the prefix
  std::span<const std::byte> bytes;
};

/// The files of this program, in any order. Defined by programs that have some; elsewhere null.
[[gnu::weak]] std::span<const BuiltinFile> BuiltinFiles();

/// Whether there is a folder of this path, which may be a built-in one.
bool IsFolder(const std::string& path);

/// The names of what is in a folder, which may be a built-in one, in any order. NotFound, with the
/// reason, when it cannot be listed.
absl::StatusOr<std::vector<std::string>> ListFolder(const std::string& path);

/// Whether there is anything of this path. A symbolic link counts even when it leads nowhere, so
/// that opening it tells why.
bool Exists(const std::string& path);

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

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
  [[nodiscard]] const std::string& path() const { return path_; }

  /// When the file that is mapped was last written, in seconds since 1970; 0 for built-in files.
  [[nodiscard]] int64_t modified_s() const { return modified_s_; }

 private:
  MappedFile(std::string path, std::span<const std::byte> bytes, int64_t modified_s, bool is_mapped)
      : path_(std::move(path)), bytes_(bytes), modified_s_(modified_s), is_mapped_(is_mapped) {}

  std::string path_;
  std::span<const std::byte> bytes_;
  int64_t modified_s_ = 0;
  bool is_mapped_ = false;  // and to be unmapped; built-in files stay
};

/// The whole text of a small file. InvalidArgument when it is larger than `max_bytes`; otherwise
/// the errors of MappedFile::Open.
absl::StatusOr<std::string> ReadTextFile(const std::string& path, size_t max_bytes);

}  // namespace hadal
