#include "engine/text/chat/prompt_segment.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/text/small_tokenizer.h"

namespace hadal {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr auto kText = PromptSegment::Kind::kText;
constexpr auto kAddedToken = PromptSegment::Kind::kAddedToken;

class PromptSegmentTest : public testing::Test {
 protected:
  const Tokenizer tokenizer_ = *Tokenizer::FromJson(SmallTokenizerText());
};

TEST_F(PromptSegmentTest, BuilderJoinsTexts) {
  PromptBuilder builder;
  builder.AddText("");
  builder.AddToken("<think>");
  builder.AddText("a");
  builder.AddText("b");
  builder.AddToken("<think>");
  builder.AddToken("<think>");
  EXPECT_THAT(builder.Take(),
              ElementsAre(PromptSegment{kAddedToken, "<think>"},
                          PromptSegment{kText, "ab"},
                          PromptSegment{kAddedToken, "<think>"},
                          PromptSegment{kAddedToken, "<think>"}));
}

TEST_F(PromptSegmentTest, MergesReachAcrossTextsButNotAcrossTokens) {
  const std::vector<PromptSegment> joined = {{kText, "a"}, {kText, "b"}, {kText, "c"}};
  EXPECT_THAT(*EncodePrompt(joined, tokenizer_), ElementsAre(257));
  const std::vector<PromptSegment> apart = {
      {kText, "a"}, {kAddedToken, "<｜User｜>"}, {kText, "b"}};
  EXPECT_THAT(*EncodePrompt(apart, tokenizer_), ElementsAre('a', 263, 'b'));
}

TEST_F(PromptSegmentTest, TextNeverBecomesAToken) {
  const std::vector<PromptSegment> segments = {{kAddedToken, "<think>"}, {kText, "<think>"}};
  EXPECT_THAT(*EncodePrompt(segments, tokenizer_),
              ElementsAre(265, '<', 't', 'h', 'i', 'n', 'k', '>'));
  // Not even when two texts spell a name together.
  const std::vector<PromptSegment> halves = {{kText, "<thi"}, {kText, "nk>"}};
  EXPECT_THAT(*EncodePrompt(halves, tokenizer_), ElementsAre('<', 't', 'h', 'i', 'n', 'k', '>'));
}

TEST_F(PromptSegmentTest, RefusesUnknownTokensAndInvalidText) {
  const std::vector<PromptSegment> unknown = {{kAddedToken, "<｜tool▁sep｜>"}};
  const absl::Status status = EncodePrompt(unknown, tokenizer_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("<｜tool▁sep｜>"));
  const std::vector<PromptSegment> ordinary = {{kAddedToken, "ab"}};
  EXPECT_FALSE(EncodePrompt(ordinary, tokenizer_).ok());
  const std::vector<PromptSegment> invalid = {{kText, "\xFF"}};
  EXPECT_FALSE(EncodePrompt(invalid, tokenizer_).ok());
}

}  // namespace
}  // namespace hadal
