#include "base/cpu/system_file.h"

#include <fstream>

#include <gtest/gtest.h>

#include "tests/support/test_folder.h"

namespace hadal {
namespace {

TEST(SystemFileTest, ReadsTextAsItIs) {
  const std::string path = FreshTestFolder() + "/file";
  std::ofstream(path) << "12\n\0";
  EXPECT_EQ(ReadSystemFile(path), "12\n");
  EXPECT_TRUE(ReadSystemFile("/proc/self/status").value_or("").starts_with("Name:"));
}

TEST(SystemFileTest, ReadsTheBeginningOfWhatIsLarge) {
  const std::string path = FreshTestFolder() + "/file";
  std::ofstream(path) << std::string(100'000, 'x');
  EXPECT_EQ(ReadSystemFile(path), std::string(65'536, 'x'));
}

TEST(SystemFileTest, NothingOfWhatIsNoFile) {
  EXPECT_EQ(ReadSystemFile(FreshTestFolder() + "/none"), std::nullopt);
  EXPECT_EQ(ReadSystemFile(FreshTestFolder()).value_or(""), "");
}

TEST(SystemFileTest, NumbersStandAlone) {
  EXPECT_EQ(ParseSystemNumber("0"), 0);
  EXPECT_EQ(ParseSystemNumber(" 12\n"), 12);
  EXPECT_EQ(ParseSystemNumber("-1\n"), -1);
  EXPECT_EQ(ParseSystemNumber("9223372036854775807"), 9223372036854775807);
  for (const std::string_view text :
       {"", " ", "\n", "x", "1x", "1 2", "+1", "0x10", "1.5", "--1", "9223372036854775808"}) {
    EXPECT_EQ(ParseSystemNumber(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace hadal
