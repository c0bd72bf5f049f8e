#include "base/byte_size.h"

#include <limits>

#include <gtest/gtest.h>

namespace hadal {
namespace {

TEST(ByteSizeTest, NumbersAndUnitsAreRead) {
  EXPECT_EQ(*ParseByteSize("0"), 0);
  EXPECT_EQ(*ParseByteSize("17"), 17);
  EXPECT_EQ(*ParseByteSize("8KiB"), 8 << 10);
  EXPECT_EQ(*ParseByteSize("3MiB"), 3 << 20);
  EXPECT_EQ(*ParseByteSize("2GB"), 2'000'000'000);
  EXPECT_EQ(*ParseByteSize("1TiB"), int64_t{1} << 40U);
  EXPECT_EQ(*ParseByteSize("5kB"), 5'000);
  EXPECT_EQ(*ParseByteSize("9223372036854775807"), std::numeric_limits<int64_t>::max());
}

TEST(ByteSizeTest, AnythingElseIsRefused) {
  for (const char* text :
       {"", "MiB", "-1", "+1", "1.5GiB", "1 GiB", "1gib", "1KB", "0x10", "1e3", "4GiBx", " 4"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseByteSize(text).status())) << text;
  }
  for (const char* text : {"9223372036854775808", "8388608TiB", "99999999999999999999GB"}) {
    EXPECT_TRUE(absl::IsOutOfRange(ParseByteSize(text).status())) << text;
  }
}

TEST(ByteSizeTest, WhatIsWrittenIsReadBack) {
  EXPECT_EQ(FormatByteSize(0), "0");
  EXPECT_EQ(FormatByteSize(1000), "1000");
  EXPECT_EQ(FormatByteSize(8 << 20), "8MiB");
  EXPECT_EQ(FormatByteSize((8 << 20) + 1024), "8193KiB");
  for (const int64_t bytes :
       {int64_t{1}, int64_t{1536}, int64_t{1} << 62U, std::numeric_limits<int64_t>::max()}) {
    EXPECT_EQ(*ParseByteSize(FormatByteSize(bytes)), bytes);
  }
}

}  // namespace
}  // namespace hadal
