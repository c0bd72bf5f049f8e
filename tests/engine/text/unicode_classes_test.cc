#include "engine/text/unicode_classes.h"

#include <string>

#include <gtest/gtest.h>

#include "base/utf8.h"

namespace hadal {
namespace {

TEST(UnicodeClassesTest, KnowsCharactersOfEachClass) {
  EXPECT_EQ(ClassOf(U'a'), kLetter);
  EXPECT_EQ(ClassOf(U'中'), kLetter);
  EXPECT_EQ(ClassOf(U'\u0301'), kMark);
  EXPECT_EQ(ClassOf(U'7'), kNumber | kNumeric);
  EXPECT_EQ(ClassOf(U'Ⅷ'), kNumber | kNumeric);
  EXPECT_EQ(ClassOf(U'!'), kPunctuation);
  EXPECT_EQ(ClassOf(U'。'), kPunctuation);
  EXPECT_EQ(ClassOf(U'+'), kSymbol);
  EXPECT_EQ(ClassOf(U'👍'), kSymbol);
  EXPECT_EQ(ClassOf(U'\U00020000'), kLetter);
  EXPECT_EQ(ClassOf(U'\u200D'), 0);
}

TEST(UnicodeClassesTest, SpacesAreThoseOfTheRegularExpression) {
  for (const char32_t c : {U'\t',
                           U'\n',
                           U'\v',
                           U'\f',
                           U'\r',
                           U' ',
                           U'\u0085',
                           U'\u00A0',
                           U'\u1680',
                           U'\u2028',
                           U'\u2029',
                           U'\u202F',
                           U'\u3000'}) {
    EXPECT_EQ(ClassOf(c), kSpace) << static_cast<uint32_t>(c);
  }
  EXPECT_EQ(ClassOf(U'\u200B'), 0);
  EXPECT_EQ(ClassOf(U'\uFEFF'), 0);
  EXPECT_EQ(ClassOf(U'\x1C'), 0);
}

TEST(UnicodeClassesTest, ValuesThatAreNoScalarsHaveNoClass) {
  EXPECT_EQ(ClassOf(0xD800), 0);
  EXPECT_EQ(ClassOf(0xDFFF), 0);
  EXPECT_EQ(ClassOf(0x10FFFF), 0);
  EXPECT_EQ(ClassOf(0x110000), 0);
  EXPECT_EQ(ClassOf(0xFFFFFFFF), 0);
}

TEST(UnicodeClassesTest, CharAtReadsEveryScalar) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) {
      continue;
    }
    std::string text = "x";
    AppendUtf8(c, text);
    const ValidChar read = CharAt(text, 1);
    ASSERT_EQ(read.code_point, c);
    ASSERT_EQ(read.num_bytes, text.size() - 1);
  }
}

}  // namespace
}  // namespace hadal
