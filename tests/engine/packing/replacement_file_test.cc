#include "engine/packing/replacement_file.h"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sys/resource.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/mapped_file.h"
#include "tests/support/test_folder.h"

namespace hadal {
namespace {

using testing::HasSubstr;

std::span<const std::byte> Bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string Read(const std::string& path) {
  const auto text = ReadTextFile(path, 1000);
  return text.ok() ? *text : "";
}

// A limit for files that lasts as long as the object; beyond it writes fail, without the signal.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, SIG_DFL);
  }

 private:
  rlimit before_ = {};
};

class ReplacementFileTest : public testing::Test {
 protected:
  const std::string folder_ = FreshTestFolder();
  const std::string path_ = folder_ + "/file";
  const std::string partial_ = path_ + ".partial";
};

TEST_F(ReplacementFileTest, TakesItsPlaceWhenItIsWhole) {
  std::ofstream(path_) << "old";
  auto file = ReplacementFile::Create(path_, 6);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE(file->WriteAt(3, Bytes("def")).ok());
  EXPECT_TRUE(file->WriteAt(0, Bytes("abc")).ok());
  EXPECT_EQ(Read(path_), "old");
  EXPECT_TRUE(file->Commit().ok());
  EXPECT_EQ(Read(path_), "abcdef");
  EXPECT_FALSE(Exists(partial_));
}

TEST_F(ReplacementFileTest, LeavesNothingBehindUnlessItIsCommitted) {
  {
    const auto file = ReplacementFile::Create(path_, 3);
    ASSERT_TRUE(file.ok());
    EXPECT_TRUE(Exists(partial_));
  }
  EXPECT_FALSE(Exists(partial_));
  EXPECT_FALSE(Exists(path_));
}

TEST_F(ReplacementFileTest, OverwritesWhatAProcessThatDiedLeft) {
  std::ofstream(partial_) << "longer than what is written now";
  auto file = ReplacementFile::Create(path_, 3);
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE(file->WriteAt(0, Bytes("new")).ok());
  EXPECT_TRUE(file->Commit().ok());
  EXPECT_EQ(Read(path_), "new");
}

TEST_F(ReplacementFileTest, OneAtATime) {
  auto first = ReplacementFile::Create(path_, 3);
  ASSERT_TRUE(first.ok());
  const auto second = ReplacementFile::Create(path_, 3);
  EXPECT_TRUE(absl::IsUnavailable(second.status()));
  EXPECT_THAT(std::string(MessageOf(second.status())), HasSubstr("another process"));
  EXPECT_TRUE(first->WriteAt(0, Bytes("abc")).ok());
  EXPECT_TRUE(first->Commit().ok());
  EXPECT_TRUE(ReplacementFile::Create(path_, 3).ok());
  EXPECT_EQ(Read(path_), "abc");
}

TEST_F(ReplacementFileTest, FoldersThatCannotBeWritten) {
  std::ofstream(path_) << "a file";
  for (const std::string& path :
       {path_ + "/inside", folder_ + "/missing/file", std::string("/proc/file")}) {
    EXPECT_TRUE(absl::IsUnavailable(ReplacementFile::Create(path, 3).status())) << path;
  }
}

// A symbolic link could lead the file to where somebody else wants it.
TEST_F(ReplacementFileTest, DoesNotFollowLinks) {
  std::filesystem::create_symlink(folder_ + "/elsewhere", partial_);
  EXPECT_TRUE(absl::IsUnavailable(ReplacementFile::Create(path_, 3).status()));
  EXPECT_FALSE(Exists(folder_ + "/elsewhere"));
}

TEST_F(ReplacementFileTest, FilesBeyondTheLimitAreNotBegun) {
  const FileSizeLimit limit(1000);
  EXPECT_TRUE(absl::IsUnavailable(ReplacementFile::Create(path_, 1001).status()));
  EXPECT_FALSE(Exists(partial_));
  EXPECT_TRUE(ReplacementFile::Create(path_, 1000).ok());
}

TEST_F(ReplacementFileTest, WritesThatFailSayWhy) {
  const auto file = ReplacementFile::Create(path_, 3);
  ASSERT_TRUE(file.ok());
  const FileSizeLimit limit(4096);
  const absl::Status status = file->WriteAt(4096, Bytes("x"));
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("file.partial: cannot write: "));
}

}  // namespace
}  // namespace hadal
