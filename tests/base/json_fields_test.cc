#include "base/json_fields.h"

#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "base/json.h"

namespace hadal {
namespace {

constexpr FieldRange<int64_t> kInts = {.min = -3, .max = 9};
constexpr FieldRange<double> kNumbers = {.min = 0.5, .max = 40};

class JsonFieldsTest : public testing::Test {
 protected:
  const boost::json::value json_ = *ParseJson(
      R"({"int": 9, "large": 10, "huge": 18446744073709551615, "number": 2.5, "true": true,
          "text": "é", "array": [1, "x"], "object": {"inner": 1}, "null": null})");
  const JsonFields fields_{json_.get_object(), "top"};
};

TEST_F(JsonFieldsTest, ReadsValues) {
  EXPECT_EQ(fields_.Find("int"), &json_.at("int"));
  EXPECT_EQ(*fields_.Value("array"), &json_.at("array"));
  EXPECT_EQ(*fields_.Int("int", kInts), 9);
  EXPECT_EQ(*fields_.IntOr("int", kInts, 1), 9);
  EXPECT_EQ(*fields_.IntOrNull("int", kInts), 9);
  EXPECT_EQ(*fields_.Number("number", kNumbers), 2.5);
  EXPECT_EQ(*fields_.Number("int", kNumbers), 9.0);
  EXPECT_EQ(*fields_.NumberOr("number", kNumbers, 1), 2.5);
  EXPECT_EQ(*fields_.BoolOr("true", false), true);
  EXPECT_EQ(*fields_.String("text"), "é");
  EXPECT_EQ(*fields_.StringOr("text", "x"), "é");
  EXPECT_EQ((*fields_.Array("array"))->size(), 2U);
  EXPECT_EQ(*fields_.ObjectOrNull("object"), &json_.at("object").get_object());
  EXPECT_EQ(fields_.Object("object")->path(), "top.object");
  EXPECT_EQ(*fields_.Object("object")->Int("inner", kInts), 1);
  EXPECT_EQ(&JsonFields::Of(json_, "", "body")->object(), &json_.get_object());
  EXPECT_EQ((*ReadArray(json_.at("array"), "a"))->size(), 2U);
  EXPECT_EQ(*ReadString(json_.at("text"), "t"), "é");
}

TEST_F(JsonFieldsTest, FallsBackForAbsentAndNull) {
  for (const std::string_view key : {"absent", "null"}) {
    EXPECT_EQ(fields_.Find(key), nullptr);
    EXPECT_EQ(*fields_.IntOr(key, kInts, 77), 77);
    EXPECT_EQ(*fields_.NumberOr(key, kNumbers, 77), 77);
    EXPECT_EQ(*fields_.BoolOr(key, true), true);
    EXPECT_EQ(*fields_.StringOr(key, "x"), "x");
    EXPECT_EQ(*fields_.ObjectOrNull(key), nullptr);
  }
  EXPECT_EQ(*fields_.IntOrNull("null", kInts), 0);
}

struct Refusal {
  std::function<absl::Status(const JsonFields&)> read;
  std::string_view message;
};

const std::vector<Refusal>& Refusals() {
  static const std::vector<Refusal> kRefusals = {
      {[](auto& f) { return f.Value("absent").status(); },
       "top.absent: expected a value, found nothing"},
      {[](auto& f) { return f.Value("null").status(); }, "top.null: expected a value, found null"},
      {[](auto& f) { return f.Int("absent", kInts).status(); },
       "top.absent: expected an integer from -3 to 9, found nothing"},
      {[](auto& f) { return f.Int("large", kInts).status(); },
       "top.large: expected an integer from -3 to 9, found 10"},
      {[](auto& f) { return f.Int("number", kInts).status(); },
       "top.number: expected an integer from -3 to 9, found 2.5E0"},
      {[](auto& f) {
         return f.Int("huge", {0, std::numeric_limits<int64_t>::max()}).status();
       },
       "top.huge: expected an integer from 0 to 9223372036854775807, found 18446744073709551615"},
      {[](auto& f) { return f.IntOr("text", kInts, 1).status(); },
       "top.text: expected an integer from -3 to 9, found \"é\""},
      {[](auto& f) { return f.IntOrNull("absent", kInts).status(); },
       "top.absent: expected an integer from -3 to 9, found nothing"},
      {[](auto& f) { return f.Number("null", kNumbers).status(); },
       "top.null: expected a number from 0.5 to 40, found null"},
      {[](auto& f) { return f.NumberOr("true", kNumbers, 1).status(); },
       "top.true: expected a number from 0.5 to 40, found true"},
      {[](auto& f) { return f.BoolOr("int", true).status(); },
       "top.int: expected true or false, found 9"},
      {[](auto& f) { return f.String("absent").status(); },
       "top.absent: expected a string, found nothing"},
      {[](auto& f) { return f.StringOr("array", "x").status(); },
       "top.array: expected a string, found an array of 2"},
      {[](auto& f) { return f.Array("object").status(); },
       "top.object: expected an array, found an object"},
      {[](auto& f) { return f.Array("absent").status(); },
       "top.absent: expected an array, found nothing"},
      {[](auto& f) { return f.Object("null").status(); },
       "top.null: expected an object, found null"},
      {[](auto& f) { return f.ObjectOrNull("int").status(); },
       "top.int: expected an object, found 9"},
      {[](auto& f) { return f.Unexpected("int", "8"); }, "top.int: expected 8, found 9"},
      {[](auto& f) { return ReadArray(*f.Find("int"), "a[1]").status(); },
       "a[1]: expected an array, found 9"},
      {[](auto& f) { return ReadString(*f.Find("int"), "a[1]").status(); },
       "a[1]: expected a string, found 9"},
      {[](auto& f) { return JsonFields::Of(*f.Find("int"), "", "body").status(); },
       "body: expected an object, found 9"},
      {[](auto& f) { return JsonFields::Of(*f.Find("int"), "a[1]", "body").status(); },
       "a[1]: expected an object, found 9"},
  };
  return kRefusals;
}

TEST_F(JsonFieldsTest, RefusesAndNamesThePath) {
  for (const Refusal& refusal : Refusals()) {
    EXPECT_EQ(refusal.read(fields_), InvalidArgument("%s", refusal.message)) << refusal.message;
  }
}

TEST_F(JsonFieldsTest, UnsupportedAndUnknownKeysAreUnimplemented) {
  EXPECT_EQ(fields_.Unsupported("text", "\"e\""),
            Unimplemented("top.text: only \"e\" is supported, found \"é\""));
  EXPECT_EQ(fields_.Unsupported("absent", "1"),
            Unimplemented("top.absent: only 1 is supported, found nothing"));
  const JsonFields object(json_.at("object").get_object(), "");
  EXPECT_TRUE(object.CheckKnownKeys({"inner", "other"}).ok());
  EXPECT_EQ(object.CheckKnownKeys({"other"}),
            Unimplemented("inner: a key that Hadal does not know, with the value 1"));
}

TEST(JsonPathTest, Paths) {
  const boost::json::object empty;
  EXPECT_EQ(JsonFields(empty, "").PathOf("key"), "key");
  EXPECT_EQ(JsonFields(empty, "a.b").PathOf("key"), "a.b.key");
  EXPECT_EQ(PathOfItem("a.b", 3), "a.b[3]");
}

TEST(DescribeJsonTest, CutsLongStringsBetweenCharacters) {
  EXPECT_EQ(DescribeJson(boost::json::array(3)), "an array of 3");
  EXPECT_EQ(DescribeJson(boost::json::object()), "an object");
  EXPECT_EQ(DescribeJson(boost::json::value("x")), "\"x\"");
  const std::string text(100, 'a');
  EXPECT_EQ(DescribeJson(boost::json::value(text)), absl::StrFormat("\"%s…", text.substr(0, 59)));
  const std::string wide = text.substr(0, 57) + "中中";
  EXPECT_EQ(DescribeJson(boost::json::value(wide)), absl::StrFormat("\"%s…", text.substr(0, 57)));
}

}  // namespace
}  // namespace hadal
