#include "base/utf8.h"

#include <gtest/gtest.h>

namespace hadal {
namespace {

TEST(Utf8Test, EveryScalarValueRoundTrips) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) {
      continue;
    }
    std::string text;
    AppendUtf8(c, text);
    const Utf8Char decoded = DecodeUtf8(text);
    ASSERT_EQ(decoded.code_point, c);
    ASSERT_EQ(static_cast<size_t>(decoded.num_bytes), text.size());
    for (size_t cut = 1; cut < text.size(); ++cut) {
      ASSERT_TRUE(IsIncompleteUtf8(text.substr(0, cut)));
    }
  }
}

TEST(Utf8Test, RefusesWhatRfc3629Forbids) {
  for (const std::string& text : {std::string("\x80"),
                                  std::string("\xC0\x80"),
                                  std::string("\xC1\xBF"),
                                  std::string("\xE0\x80\x80"),
                                  std::string("\xED\xA0\x80"),
                                  std::string("\xF0\x80\x80\x80"),
                                  std::string("\xF4\x90\x80\x80"),
                                  std::string("\xF5\x80\x80\x80"),
                                  std::string("\xFF"),
                                  std::string("\xC3("),
                                  std::string("\xE2\x82")}) {
    EXPECT_EQ(DecodeUtf8(text).num_bytes, 0);
  }
  EXPECT_FALSE(IsIncompleteUtf8("\xC3("));
  EXPECT_FALSE(IsIncompleteUtf8("\xED\xA0"));
  EXPECT_TRUE(IsIncompleteUtf8("\xE2\x82"));
}

// Vectors of Unicode 15, section 3.9, table 3-8 ff. (U+FFFD substitution of maximal subparts).
TEST(Utf8Test, ReplacesMaximalSubparts) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(ReplaceInvalidUtf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(ReplaceInvalidUtf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), r + r + r + r + "A");
  EXPECT_EQ(ReplaceInvalidUtf8("ok"), "ok");
}

TEST(Utf8Test, ValidPrefix) {
  EXPECT_EQ(ValidUtf8Prefix("a\xC3\xA9"), 3U);
  EXPECT_EQ(ValidUtf8Prefix("a\xC3"), 1U);
  EXPECT_EQ(ValidUtf8Prefix(""), 0U);
}

}  // namespace
}  // namespace hadal
