#include "engine/packing/replacement_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "base/check.h"

namespace hadal {
namespace {

std::string PartialPath(const std::string& path) {
  return path + ".partial";
}

absl::Status Failure(const std::string& path, const char* what) {
  return Unavailable("%s: %s: %s", path, what, std::strerror(errno));
}

// Whether `path` still names the open file: its last owner may have moved or removed it while we
// waited for nothing but the lock.
bool IsAt(const std::string& path, int fd) {
  struct stat open_file = {};
  struct stat named_file = {};
  return fstat(fd, &open_file) == 0 && lstat(path.c_str(), &named_file) == 0 &&
         open_file.st_dev == named_file.st_dev && open_file.st_ino == named_file.st_ino;
}

// The descriptor of a locked file at `path`.
absl::StatusOr<int> OpenLocked(const std::string& path) {
  constexpr int kMostTries = 8;
  for (int i = 0; i < kMostTries; ++i) {
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) {
      return Failure(path, "cannot create");
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
      const absl::Status status = errno == EWOULDBLOCK
                                      ? Unavailable("%s: another process is writing it", path)
                                      : Failure(path, "cannot lock");
      close(fd);
      return status;
    }
    if (IsAt(path, fd)) {
      return fd;
    }
    close(fd);
  }
  return Unavailable("%s: other processes are writing it", path);
}

absl::Status MakeRoom(const std::string& path, int fd, int64_t size_bytes) {
  // Beyond the limit a write ends the process by a signal.
  rlimit limit = {};
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
      static_cast<uint64_t>(size_bytes) > limit.rlim_cur) {
    return Unavailable("%s: %d bytes are more than the limit for files, %d (ulimit -f)",
                       path,
                       size_bytes,
                       limit.rlim_cur);
  }
  if (ftruncate(fd, 0) != 0) {
    return Failure(path, "cannot empty");
  }
  if (fallocate(fd, 0, 0, size_bytes) != 0 && errno != EOPNOTSUPP && errno != ENOSYS) {
    return Failure(path, "no room");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ReplacementFile> ReplacementFile::Create(std::string path, int64_t size_bytes) {
  const std::string partial = PartialPath(path);
  ASSIGN_OR_RETURN(const int fd, OpenLocked(partial));
  ReplacementFile file(std::move(path), fd);  // from here on removed unless committed
  RETURN_IF_ERROR(MakeRoom(partial, fd, size_bytes));
  return file;
}

ReplacementFile::ReplacementFile(ReplacementFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

ReplacementFile::~ReplacementFile() {
  if (fd_ >= 0) {
    unlink(PartialPath(path_).c_str());  // while it is locked, so that it is ours
    close(fd_);
  }
}

absl::Status ReplacementFile::WriteAt(int64_t offset, std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t count = pwrite(fd_, bytes.data(), bytes.size(), offset);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      return Failure(PartialPath(path_), "cannot write");
    }
    bytes = bytes.subspan(static_cast<size_t>(count));
    offset += count;
  }
  return absl::OkStatus();
}

absl::Status ReplacementFile::Commit() {
  CHECK_GE(fd_, 0);
  if (fsync(fd_) != 0) {
    return Failure(PartialPath(path_), "cannot write");
  }
  if (std::rename(PartialPath(path_).c_str(), path_.c_str()) != 0) {
    return Failure(path_, "cannot rename");
  }
  close(std::exchange(fd_, -1));
  // The new name reaches the disk too. If that fails a crash brings back the file before, which is
  // whole as well.
  const std::string folder = std::filesystem::path(path_).parent_path().string();
  const int folder_fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_fd >= 0) {
    fsync(folder_fd);
    close(folder_fd);
  }
  return absl::OkStatus();
}

}  // namespace hadal
