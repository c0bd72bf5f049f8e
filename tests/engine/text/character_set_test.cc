#include "engine/text/character_set.h"

#include <gtest/gtest.h>

namespace hadal {
namespace {

CharacterSet ParseWhole(std::string_view pattern) {
  absl::StatusOr<CharacterSet> set = CharacterSet::Parse(pattern);
  EXPECT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(pattern, "");
  return set.ok() ? *std::move(set) : CharacterSet();
}

TEST(CharacterSetTest, ReadsRangesAndSingles) {
  const CharacterSet set = ParseWhole("[一-龥x0-9\\-\\]\r]");
  for (const char32_t c : {U'一', U'丁', U'龥', U'x', U'0', U'9', U'-', U']', U'\r'}) {
    EXPECT_TRUE(set.Contains(c)) << static_cast<uint32_t>(c);
  }
  for (const char32_t c : {U'龦', U'\u4DFF', U'w', U'y', U'/', U':', U'\\', U'\n'}) {
    EXPECT_FALSE(set.Contains(c)) << static_cast<uint32_t>(c);
  }
}

TEST(CharacterSetTest, ReadsClassesAloneAndInBrackets) {
  EXPECT_TRUE(ParseWhole("\\p{N}").Contains(U'½'));
  EXPECT_FALSE(ParseWhole("\\p{N}").Contains(U'a'));
  const CharacterSet set = ParseWhole("[\\p{P}\\s\\n_]");
  EXPECT_TRUE(set.Contains(U'、'));
  EXPECT_TRUE(set.Contains(U'\u3000'));
  EXPECT_TRUE(set.Contains(U'_'));
  EXPECT_FALSE(set.Contains(U'+'));
}

TEST(CharacterSetTest, ADashAtTheEndIsADash) {
  const CharacterSet set = ParseWhole("[a-]");
  EXPECT_TRUE(set.Contains(U'-'));
  EXPECT_TRUE(set.Contains(U'a'));
  EXPECT_FALSE(set.Contains(U'b'));
}

TEST(CharacterSetTest, JoinsOverlappingRanges) {
  const CharacterSet set = ParseWhole("[à-îâ-ãï-ñ]");
  EXPECT_TRUE(set.Contains(U'ã'));
  EXPECT_TRUE(set.Contains(U'ñ'));
  EXPECT_FALSE(set.Contains(U'ò'));
}

TEST(CharacterSetTest, LeavesTheRestOfThePattern) {
  std::string_view pattern = "[a]+b";
  ASSERT_TRUE(CharacterSet::Parse(pattern).ok());
  EXPECT_EQ(pattern, "+b");
}

TEST(CharacterSetTest, RefusesWhatItDoesNotUnderstand) {
  for (std::string_view pattern : {"",
                                   "a",
                                   ".",
                                   "\\d",
                                   "\\p{Lu}",
                                   "\\p{^L}",
                                   "[^a]",
                                   "[]",
                                   "[]a]",
                                   "[a",
                                   "[a\\",
                                   "[[:alpha:]]",
                                   "[a&&b]",
                                   "[\\d]",
                                   "[z-a]",
                                   "[a-\\p{L}]"}) {
    const std::string shown(pattern);
    EXPECT_EQ(CharacterSet::Parse(pattern).status().code(), absl::StatusCode::kUnimplemented)
        << shown;
  }
}

}  // namespace
}  // namespace hadal
