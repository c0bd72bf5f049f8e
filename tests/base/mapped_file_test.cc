#include "base/mapped_file.h"

#include <fstream>
#include <utility>

#include <gtest/gtest.h>

#include "tests/support/test_folder.h"

namespace hadal {
namespace {

class MappedFileTest : public testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = FreshTestFolder() + "/" + name;
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
};

TEST_F(MappedFileTest, GivesTheBytesOfTheFile) {
  auto file = MappedFile::Open(Write("mapped_file_test.bin", "abc"));
  ASSERT_TRUE(file.ok()) << file.status();
  const MappedFile moved = std::move(*file);
  ASSERT_EQ(moved.bytes().size(), 3U);
  EXPECT_EQ(static_cast<char>(moved.bytes()[2]), 'c');
}

TEST_F(MappedFileTest, AnEmptyFileIsEmpty) {
  const auto file = MappedFile::Open(Write("mapped_file_empty.bin", ""));
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE(file->bytes().empty());
}

TEST_F(MappedFileTest, RefusesMissingFilesAndDirectories) {
  EXPECT_EQ(MappedFile::Open("/nonexistent").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(MappedFile::Open(testing::TempDir()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(MappedFileTest, ReadTextFileBoundsTheSize) {
  const std::string path = Write("mapped_file_text.txt", "12345");
  EXPECT_EQ(*ReadTextFile(path, 5), "12345");
  EXPECT_EQ(ReadTextFile(path, 4).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace hadal
