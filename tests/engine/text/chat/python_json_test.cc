#include "engine/text/chat/python_json.h"

#include <string>

#include <gtest/gtest.h>

#include "base/json.h"

namespace hadal {
namespace {

// Expected texts are Python 3.11's json.dumps(json.loads(x), ensure_ascii=False).
TEST(PythonJsonTest, WritesAsPythonDoes) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"b":1,"a":[true,false,null]})", R"({"b": 1, "a": [true, false, null]})"},
      {R"({ })", R"({})"},
      {R"([[],{}])", R"([[], {}])"},
      {R"(["\u00e9\u4e2d\ud83d\ude00\u2028"])", "[\"é中😀\u2028\"]"},
      {R"(["\"\\\/\b\f\n\r\t\u0001\u001f\u007f"])",
       "[\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7F\"]"},
      {"[-1, 9223372036854775807, 18446744073709551615]",
       "[-1, 9223372036854775807, 18446744073709551615]"},
      {"[1.0, 0.5, -0.0, 3.25e2, 0.1]", "[1.0, 0.5, -0.0, 325.0, 0.1]"},
      {"[1e16, 1e15, 1.5e300, 1e-4, 1e-5, 1.25e-7, 123456789.125]",
       "[1e+16, 1000000000000000.0, 1.5e+300, 0.0001, 1e-05, 1.25e-07, 123456789.125]"},
  };
  for (const auto& [json, expected] : cases) {
    EXPECT_EQ(ToPythonJson(*ParseJson(json)), expected) << json;
  }
}

// json.dumps(json.loads(x), indent=4, ensure_ascii=False).
TEST(PythonJsonTest, IndentsAsPythonDoes) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({})", "{}"},
      {R"([[], {}, "é"])", "[\n    [],\n    {},\n    \"é\"\n]"},
      {R"({"a": {"b": [1, 2.0], "c": {}}, "d": null})",
       "{\n    \"a\": {\n        \"b\": [\n            1,\n            2.0\n        ],\n"
       "        \"c\": {}\n    },\n    \"d\": null\n}"},
      {"7", "7"},
  };
  for (const auto& [json, expected] : cases) {
    EXPECT_EQ(ToIndentedPythonJson(*ParseJson(json)), expected) << json;
  }
}

}  // namespace
}  // namespace hadal
