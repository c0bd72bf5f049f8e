#include "base/mapped_file.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace hadal {
namespace {

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() {
    if (fd_ >= 0) {
      close(fd_);
    }
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  const int fd_;
};

std::span<const BuiltinFile> FilesOfProgram() {
  return BuiltinFiles == nullptr ? std::span<const BuiltinFile>() : BuiltinFiles();
}

const BuiltinFile* FindBuiltin(std::string_view path) {
  for (const BuiltinFile& file : FilesOfProgram()) {
    if (file.path == path) {
      return &file;
    }
  }
  return nullptr;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ListFolder(const std::string& path) {
  std::vector<std::string> names;
  if (path.starts_with(kBuiltinPrefix)) {
    const std::string folder = path + "/";
    for (const BuiltinFile& file : FilesOfProgram()) {
      if (file.path.starts_with(folder)) {
        names.emplace_back(file.path.substr(folder.size()));
      }
    }
    if (names.empty()) {
      return NotFound("%s: no such folder in this program", path);
    }
    return names;
  }
  std::error_code error;
  std::filesystem::directory_iterator entries(path, error);
  while (!error && entries != std::filesystem::directory_iterator()) {
    names.push_back(entries->path().filename().string());
    entries.increment(error);
  }
  if (error) {
    return NotFound("%s: cannot list: %s", path, error.message());
  }
  return names;
}

bool IsFolder(const std::string& path) {
  if (path.starts_with(kBuiltinPrefix)) {
    return ListFolder(path).ok();
  }
  std::error_code ignored;  // whatever the reason, it is not a folder to read
  return std::filesystem::is_directory(path, ignored);
}

bool Exists(const std::string& path) {
  if (path.starts_with(kBuiltinPrefix)) {
    return FindBuiltin(path) != nullptr || IsFolder(path);
  }
  std::error_code ignored;
  return std::filesystem::symlink_status(path, ignored).type() !=
         std::filesystem::file_type::not_found;
}

absl::StatusOr<MappedFile> MappedFile::Open(const std::string& path) {
  if (path.starts_with(kBuiltinPrefix)) {
    const BuiltinFile* const builtin = FindBuiltin(path);
    if (builtin == nullptr) {
      return NotFound("%s: no such file in this program", path);
    }
    return MappedFile(path, builtin->bytes, 0, false);
  }
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) {
    if (errno == ENOENT) {
      return NotFound("%s: no such file", path);
    }
    return InvalidArgument("%s: cannot open: %s", path, std::strerror(errno));
  }
  struct stat info = {};
  if (fstat(file.get(), &info) != 0) {
    return InvalidArgument("%s: cannot stat: %s", path, std::strerror(errno));
  }
  if (!S_ISREG(info.st_mode)) {
    return InvalidArgument("%s: not a regular file", path);
  }
  const auto size = static_cast<size_t>(info.st_size);
  if (size == 0) {
    return MappedFile(path, {}, info.st_mtim.tv_sec, false);
  }
  void* data = mmap(nullptr, size, PROT_READ, MAP_SHARED, file.get(), 0);
  if (data == MAP_FAILED) {
    return InvalidArgument("%s: cannot map %d bytes: %s", path, size, std::strerror(errno));
  }
  return MappedFile(path, {static_cast<const std::byte*>(data), size}, info.st_mtim.tv_sec, true);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      bytes_(std::exchange(other.bytes_, {})),
      modified_s_(other.modified_s_),
      is_mapped_(std::exchange(other.is_mapped_, false)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(bytes_, other.bytes_);
  std::swap(modified_s_, other.modified_s_);
  std::swap(is_mapped_, other.is_mapped_);
  return *this;
}

MappedFile::~MappedFile() {
  if (is_mapped_) {
    // munmap wants a mutable pointer; the bytes are not written.
    munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }
}

absl::StatusOr<std::string> ReadTextFile(const std::string& path, size_t max_bytes) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  if (file.bytes().size() > max_bytes) {
    return InvalidArgument(
        "%s: %d bytes, more than the limit of %d", path, file.bytes().size(), max_bytes);
  }
  return std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
}

}  // namespace hadal
