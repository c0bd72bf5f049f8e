#include "engine/text/answer/fence_stripper.h"

#include <algorithm>
#include <random>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace hadal {
namespace {

std::string StripByByte(std::string_view text) {
  FenceStripper stripper;
  std::string arguments;
  for (const char c : text) {
    arguments += stripper.Push({&c, 1});
  }
  return arguments + stripper.Finish();
}

// The same, of a whole text.
std::string StripAtOnce(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  constexpr std::string_view kFence = "```json\n";
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  if (kFence.starts_with(text)) {
    return "";
  }
  for (const std::string_view opening : {"```json\n", "```json", "```\n", "```"}) {
    if (text.starts_with(opening)) {
      text.remove_prefix(opening.size());
      break;
    }
  }
  std::string_view trimmed = text.substr(0, text.find_last_not_of(kBlanks) + 1);
  if (!trimmed.ends_with("```")) {
    return std::string(text);
  }
  trimmed.remove_suffix(3);
  if (trimmed.ends_with("\n")) {
    trimmed.remove_suffix(1);
  }
  return std::string(trimmed);
}

TEST(FenceStripperTest, TakesTheFenceOff) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"```json\n{\"a\": 1}\n```", "{\"a\": 1}"},
      {"```json\n{}\n\n```", "{}\n"},
      {"```json\n\n```", ""},
      {"```json\n```", ""},
      {" \n```json\n {}\n```\n ", " {}"},
      {"```\n{}\n```", "{}"},
      {"```json{}```", "{}"},
      {"{}\n```", "{}"},
      {"```json\n{}", "{}"},
      {"{}", "{}"},
      {"{\n\"a\": \"```\n```\\n\"}\n", "{\n\"a\": \"```\n```\\n\"}\n"},
      {"``{}``", "``{}``"},
      {"{}\n````", "{}\n`"},
      {"", ""},
      {"```js", ""},
  };
  for (const auto& [text, arguments] : cases) {
    EXPECT_EQ(StripByByte(text), arguments) << text;
    EXPECT_EQ(StripAtOnce(text), arguments) << text;
    FenceStripper stripper;
    std::string at_once = stripper.Push(text);
    at_once += stripper.Finish();
    EXPECT_EQ(at_once, arguments) << text;
  }
}

TEST(FenceStripperTest, AgreesWithTheWholeText) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  constexpr std::string_view kParts[] = {"`", "```", "\n", " ", "json", "{", "x", "\n```"};
  for (int32_t round = 0; round < 20000; ++round) {
    std::string text;
    for (size_t parts = random() % 12; parts > 0; --parts) {
      text += kParts[random() % std::size(kParts)];
    }
    ASSERT_EQ(StripByByte(text), StripAtOnce(text)) << testing::PrintToString(text);
  }
}

TEST(FenceStripperTest, IsLinear) {
  constexpr size_t kSize = size_t{1} << 22U;
  for (const std::string_view unit : {"`", "\n", "```\n", "``` ", "\n``", "\n``` \n`x"}) {
    std::string text = "{";
    while (text.size() < kSize) {
      text += unit;
    }
    EXPECT_EQ(StripByByte(text), StripAtOnce(text)) << unit;
  }
  const std::string blanks = "{\n```" + std::string(kSize, ' ');
  EXPECT_EQ(StripByByte(blanks), "{");
  EXPECT_EQ(StripByByte(blanks + "}"), blanks + "}");
}

}  // namespace
}  // namespace hadal
