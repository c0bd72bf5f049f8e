#include "tests/support/test_folder.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/check.h"

namespace hadal {
namespace {

// Removes the folders that it knows when the program ends.
struct Folders {
  Folders() = default;
  Folders(const Folders&) = delete;
  Folders& operator=(const Folders&) = delete;
  ~Folders() {
    for (const std::string& path : paths) {
      std::error_code ignored;
      std::filesystem::remove_all(path, ignored);
    }
  }

  std::set<std::string> paths;
};

}  // namespace

std::string FreshTestFolder() {
  static Folders folders;
  const testing::TestInfo* const test = testing::UnitTest::GetInstance()->current_test_info();
  CHECK(test != nullptr);
  std::string name =
      "hadal_" + std::to_string(getpid()) + "_" + test->test_suite_name() + "_" + test->name();
  std::replace(name.begin(), name.end(), '/', '_');
  const std::string path = testing::TempDir() + name;
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  folders.paths.insert(path);
  return path;
}

}  // namespace hadal
