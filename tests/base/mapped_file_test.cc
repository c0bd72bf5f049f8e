#include "base/mapped_file.h"

#include <array>
#include <fstream>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/test_folder.h"

namespace hadal {
namespace {

constexpr std::array kContent = {std::byte{'a'}, std::byte{'b'}};
constexpr std::array kBuiltinFiles = {
    BuiltinFile{.path = "builtin:folder/some.txt", .bytes = kContent},
    BuiltinFile{.path = "builtin:folder/empty.txt", .bytes = {}},
};

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

TEST(BuiltinFileTest, AreReadByPathAsOthersAre) {
  auto file = MappedFile::Open("builtin:folder/some.txt");
  ASSERT_TRUE(file.ok()) << file.status();
  const MappedFile moved = std::move(*file);
  EXPECT_EQ(moved.bytes().data(), kContent.data());
  EXPECT_EQ(*ReadTextFile("builtin:folder/some.txt", 2), "ab");
  EXPECT_EQ(*ReadTextFile("builtin:folder/empty.txt", 2), "");
  EXPECT_EQ(ReadTextFile("builtin:folder/some.txt", 1).status().code(),
            absl::StatusCode::kInvalidArgument);
  for (const char* path : {"builtin:folder/none.txt", "builtin:folder", "builtin:", "builtin:x"}) {
    EXPECT_EQ(MappedFile::Open(path).status().code(), absl::StatusCode::kNotFound) << path;
  }
}

TEST(BuiltinFileTest, FoldersAreTheirPaths) {
  EXPECT_TRUE(IsFolder("builtin:folder"));
  EXPECT_FALSE(IsFolder("builtin:fold"));
  EXPECT_FALSE(IsFolder("builtin:folder/some.txt"));
  EXPECT_TRUE(Exists("builtin:folder"));
  EXPECT_TRUE(Exists("builtin:folder/some.txt"));
  EXPECT_FALSE(Exists("builtin:folder/none.txt"));
  EXPECT_THAT(*ListFolder("builtin:folder"), testing::ElementsAre("some.txt", "empty.txt"));
  EXPECT_EQ(ListFolder("builtin:other").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(MappedFileTest, FoldersOfTheFileSystem) {
  const std::string path = Write("file", "x");
  const std::string folder = path.substr(0, path.rfind('/'));
  EXPECT_TRUE(IsFolder(folder));
  EXPECT_FALSE(IsFolder(path));
  EXPECT_TRUE(Exists(path));
  EXPECT_FALSE(Exists(path + "2"));
  EXPECT_THAT(*ListFolder(folder), testing::ElementsAre("file"));
  EXPECT_EQ(ListFolder(path).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace

std::span<const BuiltinFile> BuiltinFiles() {
  return kBuiltinFiles;
}

}  // namespace hadal
