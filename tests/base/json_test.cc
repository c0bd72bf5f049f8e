#include "base/json.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hadal {
namespace {

using testing::HasSubstr;

TEST(JsonTest, ParsesEveryKindOfValue) {
  const auto value = ParseJson(
      " {\"a\": [1, -2, 3.5, true, null, \"x\\u00e9\"], \"b\": {\"a\": 18446744073709551615}}\n");
  ASSERT_TRUE(value.ok()) << value.status();
  const auto& a = value->at("a").as_array();
  EXPECT_EQ(a[1].as_int64(), -2);
  EXPECT_EQ(a[2].as_double(), 3.5);
  EXPECT_EQ(a[5].as_string(), "x\xC3\xA9");
  EXPECT_EQ(value->at("b").at("a").as_uint64(), 18446744073709551615ULL);
}

TEST(JsonTest, RefusesDuplicateKeysAtAnyDepthButNotAcrossObjects) {
  EXPECT_TRUE(ParseJson(R"({"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]})").ok());
  for (const char* text : {R"({"a": 1, "a": 2})",
                           R"([{"x": {"k": 1, "j": 0, "k": 2}}])",
                           R"({"é": 1, "\u00e9": 2})",
                           R"({"": 1, "": 2})"}) {
    const auto value = ParseJson(text);
    EXPECT_EQ(value.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(value.status().message()), HasSubstr("duplicate key"));
  }
}

TEST(JsonTest, NamesADuplicateOfManyKeysAndItsPlace) {
  std::string text = "{";
  for (int i = 0; i < 1000; ++i) {
    absl::StrAppendFormat(&text, "\"k%d\": {\"k\": [{}]}, ", i);
  }
  EXPECT_TRUE(ParseJson(text + "\"k\": 1}").ok());
  const size_t place = text.size() + 3;  // the quote that ends the key
  EXPECT_EQ(ParseJson(text + "\"k7\": 1}").status(),
            InvalidArgument("invalid JSON near byte %d: duplicate key \"k7\"", place));
}

TEST(JsonTest, RefusesMalformedText) {
  for (const std::string& text : {std::string(),
                                  std::string("{"),
                                  std::string("{} x"),
                                  std::string("[1,]"),
                                  std::string("\"\xFF\""),
                                  std::string("nul"),
                                  std::string("{\"a\"}"),
                                  std::string("01"),
                                  std::string("// c\n1"),
                                  std::string("\"a"),
                                  std::string("1 2"),
                                  std::string("NaN")}) {
    EXPECT_FALSE(ParseJson(text).ok()) << text;
  }
}

TEST(JsonTest, BoundsTheDepth) {
  EXPECT_TRUE(ParseJson(std::string(60, '[') + std::string(60, ']')).ok());
  EXPECT_FALSE(ParseJson(std::string(1000000, '[')).ok());
}

TEST(JsonTest, ErrorsNameTheFile) {
  const auto value = ParseJsonFile("/nonexistent/config.json", 100);
  EXPECT_EQ(value.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(value.status().message()), HasSubstr("/nonexistent/config.json"));
}

}  // namespace
}  // namespace hadal
