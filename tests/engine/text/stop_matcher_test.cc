#include "engine/text/stop_matcher.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace hadal {
namespace {

StopMatcher Make(const std::vector<std::string>& stops) {
  absl::StatusOr<StopMatcher> matcher = StopMatcher::Create(stops);
  EXPECT_TRUE(matcher.ok()) << matcher.status();
  return *std::move(matcher);
}

TEST(StopMatcherTest, WithoutStopStringsAllPasses) {
  StopMatcher matcher = Make({});
  EXPECT_EQ(matcher.Push("abc"), "abc");
  EXPECT_EQ(matcher.Finish(), "");
  EXPECT_FALSE(matcher.stopped());
}

TEST(StopMatcherTest, HoldsBackWhatMayBeABeginning) {
  StopMatcher matcher = Make({"stop", "###"});
  EXPECT_EQ(matcher.Push("a st"), "a ");
  EXPECT_EQ(matcher.Push("ill "), "still ");
  EXPECT_EQ(matcher.Push("##"), "");
  EXPECT_EQ(matcher.Push("x##"), "##x");
  EXPECT_EQ(matcher.Finish(), "##");
  EXPECT_FALSE(matcher.stopped());
}

TEST(StopMatcherTest, CutsAtTheStopString) {
  StopMatcher matcher = Make({"\n\nUser:"});
  EXPECT_EQ(matcher.Push("Yes.\n"), "Yes.");
  EXPECT_EQ(matcher.Push("\n\nUs"), "\n");
  EXPECT_EQ(matcher.Push("er: more"), "");
  EXPECT_TRUE(matcher.stopped());
  EXPECT_EQ(matcher.Push("and more"), "");
  EXPECT_EQ(matcher.Finish(), "");
}

TEST(StopMatcherTest, TheEarliestBeginningWinsEvenIfItEndsLater) {
  StopMatcher matcher = Make({"abcd", "bc"});
  EXPECT_EQ(matcher.Push("xabc"), "x");
  EXPECT_FALSE(matcher.stopped());
  EXPECT_EQ(matcher.Push("d"), "");
  EXPECT_TRUE(matcher.stopped());
  matcher = Make({"abcd", "bc"});
  EXPECT_EQ(matcher.Push("xabc"), "x");
  EXPECT_EQ(matcher.Push("e"), "a");
  EXPECT_TRUE(matcher.stopped());
  matcher = Make({"abcd", "bc"});
  EXPECT_EQ(matcher.Push("xabc"), "x");
  EXPECT_EQ(matcher.Finish(), "a");
  EXPECT_TRUE(matcher.stopped());
}

TEST(StopMatcherTest, RefusesEmptyStopStrings) {
  EXPECT_EQ(StopMatcher::Create(std::vector<std::string>{"a", ""}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(StopMatcherTest, AgreesWithASearchHoweverTheTextIsCut) {
  std::mt19937 random(std::random_device{}());
  const auto random_text = [&random](size_t max_size) {
    std::string text(1 + random() % max_size, 'a');
    for (char& c : text) {
      c = static_cast<char>('a' + random() % 2);
    }
    return text;
  };
  for (int32_t round = 0; round < 20000; ++round) {
    std::vector<std::string> stops(1 + random() % 3);
    std::generate(stops.begin(), stops.end(), [&] { return random_text(6); });
    const std::string text = random_text(24);
    size_t cut = text.size();
    for (const std::string& stop : stops) {
      cut = std::min(cut, text.find(stop));
    }
    StopMatcher matcher = Make(stops);
    std::string passed;
    for (size_t at = 0; at < text.size();) {
      const size_t size = std::min<size_t>(1 + random() % 5, text.size() - at);
      passed += matcher.Push(std::string_view(text).substr(at, size));
      at += size;
    }
    passed += matcher.Finish();
    ASSERT_EQ(passed, text.substr(0, cut)) << testing::PrintToString(stops) << " in " << text;
    ASSERT_EQ(matcher.stopped(), cut < text.size());
  }
}

TEST(StopMatcherTest, IsLinear) {
  StopMatcher matcher = Make({std::string(5000, 'a') + "b"});
  const auto begin = std::chrono::steady_clock::now();
  std::string passed;
  for (int32_t i = 0; i < 2000; ++i) {
    passed += matcher.Push(std::string(500, 'a'));
  }
  EXPECT_EQ(passed.size() + matcher.Finish().size(), 1000000U);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

}  // namespace
}  // namespace hadal
