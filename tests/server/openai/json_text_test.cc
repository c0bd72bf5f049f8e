#include "server/openai/json_text.h"

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "base/utf8.h"
#include "tests/server/openai/openai_test_support.h"

namespace hadal {
namespace {

std::string Quoted(std::string_view text) {
  std::string json;
  AppendJsonString(text, json);
  return json;
}

TEST(JsonTextTest, EscapesWhatMustBe) {
  EXPECT_EQ(Quoted(""), R"("")");
  EXPECT_EQ(Quoted("plain"), R"("plain")");
  EXPECT_EQ(Quoted("\"\\/"), R"("\"\\/")");
  EXPECT_EQ(Quoted("\b\f\n\r\t"), R"("\b\f\n\r\t")");
  EXPECT_EQ(Quoted(std::string_view("\0\x01\x1f", 3)), R"("\u0000\u0001\u001f")");
  EXPECT_EQ(Quoted("\x7f"), "\"\x7f\"");
  EXPECT_EQ(Quoted("ä<｜User｜>😀\u2028"), "\"ä<｜User｜>😀\u2028\"");
  EXPECT_EQ(Quoted("\nx"), R"("\nx")");
  EXPECT_EQ(Quoted("x\n"), R"("x\n")");
}

TEST(JsonTextTest, AppendsBehindWhatIsThere) {
  std::string json = "[";
  AppendJsonString("a", json);
  AppendJsonEscaped("\t", json);
  EXPECT_EQ(json, R"(["a"\t)");
}

TEST(JsonTextTest, EveryCharacterIsReadBack) {
  for (char32_t code_point = 0; code_point < 0x3000; ++code_point) {
    std::string text;
    AppendUtf8(code_point, text);
    const boost::json::value value = Json(Quoted(text));
    ASSERT_EQ(value.get_string(), boost::json::string_view(text))
        << static_cast<uint32_t>(code_point);
  }
}

TEST(JsonTextTest, Integers) {
  std::string json;
  AppendJsonNumber(int64_t{0}, json);
  AppendJsonNumber(std::numeric_limits<int64_t>::min(), json);
  AppendJsonNumber(std::numeric_limits<int64_t>::max(), json);
  EXPECT_EQ(json, "0-92233720368547758089223372036854775807");
}

TEST(JsonTextTest, FloatsAreShortAndExact) {
  const std::pair<float, const char*> cases[] = {
      {0.0F, "0"}, {-0.1F, "-0.1"}, {-9999.0F, "-9999"}, {1e-10F, "1e-10"}, {-0.25F, "-0.25"}};
  for (const auto& [number, text] : cases) {
    std::string json;
    AppendJsonNumber(number, json);
    EXPECT_EQ(json, text);
  }
  constexpr uint32_t kSeed = 7;
  std::mt19937 random(kSeed);
  for (int32_t i = 0; i < 20000; ++i) {
    const auto number = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (!std::isfinite(number)) {
      continue;
    }
    std::string json;
    AppendJsonNumber(number, json);
    EXPECT_LE(json.size(), 16U);
    EXPECT_EQ(static_cast<float>(Json("[" + json + "]").at(0).to_number<double>()), number) << json;
  }
}

}  // namespace
}  // namespace hadal
