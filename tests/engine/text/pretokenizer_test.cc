#include "engine/text/pretokenizer.h"

#include <string>
#include <vector>

#include <boost/json/serialize.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"

namespace hadal {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

boost::json::value SplitStep(std::string_view pattern) {
  return {{"type", "Split"},
          {"pattern", {{"Regex", std::string(pattern)}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}

boost::json::value ByteLevelStep(bool add_prefix_space, bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", add_prefix_space}, {"use_regex", use_regex}};
}

boost::json::value Sequence(boost::json::array steps) {
  steps.push_back(ByteLevelStep(false, false));
  return {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}

std::vector<std::string> Words(const boost::json::value& json, std::string_view text) {
  const absl::StatusOr<Pretokenizer> pretokenizer = Pretokenizer::FromJson(json);
  EXPECT_TRUE(pretokenizer.ok()) << pretokenizer.status();
  std::vector<std::string> words;
  if (pretokenizer.ok()) {
    pretokenizer->Split(text, [&words](std::string_view word) { words.emplace_back(word); });
  }
  return words;
}

std::vector<std::string> Split(std::string_view pattern, std::string_view text) {
  return Words(Sequence({SplitStep(pattern)}), text);
}

std::vector<std::string> SplitV3(std::string_view text) {
  return Words(Sequence({SplitStep("\\p{N}{1,3}"),
                         SplitStep("[一-龥぀-ゟ゠-ヿ]+"),
                         SplitStep(kDeepSeekV3Pattern)}),
               text);
}

std::vector<std::string> SplitGpt2(std::string_view text) {
  return Words(ByteLevelStep(false, true), text);
}

// Expectations of this file were checked with the tokenizers package; its own results for random
// text are compared in tests/e2e/tokenizer_parity_test.py.
TEST(PretokenizerTest, DeepSeekV3Words) {
  EXPECT_THAT(SplitV3(""), IsEmpty());
  EXPECT_THAT(SplitV3("Hello world"), ElementsAre("Hello", " world"));
  EXPECT_THAT(SplitV3("1234567"), ElementsAre("123", "456", "7"));
  EXPECT_THAT(SplitV3("don't"), ElementsAre("don", "'t"));
  EXPECT_THAT(SplitV3("a.b(c)"), ElementsAre("a", ".b", "(c", ")"));
  EXPECT_THAT(SplitV3("x  y"), ElementsAre("x", " ", " y"));
  EXPECT_THAT(SplitV3("x  \n\n y  "), ElementsAre("x", "  \n\n", " y", "  "));
  EXPECT_THAT(SplitV3("中文abcかな"), ElementsAre("中文", "abc", "かな"));
  EXPECT_THAT(SplitV3(" !?\r\n\nz"), ElementsAre(" !?\r\n\n", "z"));
  EXPECT_THAT(SplitV3("e\u0301 \u0301x"), ElementsAre("e\u0301", " \u0301x"));
  EXPECT_THAT(SplitV3("\tfoo\u00A0bar"), ElementsAre("\tfoo", "\u00A0bar"));
  EXPECT_THAT(SplitV3("a\x01\x02"), ElementsAre("a", "\x01\x02"));
}

TEST(PretokenizerTest, Gpt2Words) {
  EXPECT_THAT(SplitGpt2("I'll don't 'sx"), ElementsAre("I", "'ll", " don", "'t", " '", "sx"));
  EXPECT_THAT(SplitGpt2("ab12  !?\n\n c"), ElementsAre("ab", "12", " ", " !?", "\n\n", " c"));
  EXPECT_THAT(SplitGpt2("   "), ElementsAre("   "));
  EXPECT_THAT(SplitGpt2(" "), ElementsAre(" "));
}

TEST(PretokenizerTest, RunsOfCharacters) {
  EXPECT_THAT(Split("[\r\n]", "a\r\nb"), ElementsAre("a", "\r", "\n", "b"));
  EXPECT_THAT(Split("\\s?[a-c]+", "xab  c\u3000b"), ElementsAre("x", "ab", " ", " c", "\u3000b"));
  EXPECT_THAT(Split("\\s?[!-/\u3000]+", " !\u3000\u3000a\u3000"),
              ElementsAre(" !\u3000\u3000", "a", "\u3000"));
  EXPECT_THAT(Split("\\p{N}", "12a"), ElementsAre("1", "2", "a"));
  EXPECT_THAT(Split("\\p{N}{1,2}", "12345"), ElementsAre("12", "34", "5"));
}

TEST(PretokenizerTest, TrailingSpaceKnowsLineEnds) {
  EXPECT_THAT(Split("\\s+$", "a b  "), ElementsAre("a b", "  "));
  EXPECT_THAT(Split("\\s+$", "a  \n\n b  "), ElementsAre("a", "  \n", "\n b", "  "));
  EXPECT_THAT(Split("\\s+$", "\nx"), ElementsAre("\nx"));
  EXPECT_THAT(Split("\\s+$", "   "), ElementsAre("   "));
}

TEST(PretokenizerTest, Digits) {
  const auto digits = [](bool individual) {
    return Sequence({{{"type", "Digits"}, {"individual_digits", individual}}});
  };
  EXPECT_THAT(Words(digits(true), "a12½"), ElementsAre("a", "1", "2", "½"));
  EXPECT_THAT(Words(digits(false), "a12½b"), ElementsAre("a", "12½", "b"));
}

TEST(PretokenizerTest, EachStepSeesThePiecesOfTheOneBefore) {
  EXPECT_THAT(Words(Sequence({SplitStep("[,]"), SplitStep("\\s+$")}), "a ,b "),
              ElementsAre("a", " ", ",", "b", " "));
}

TEST(PretokenizerTest, ByteLevelAloneMayAddAPrefixSpace) {
  EXPECT_EQ(Pretokenizer::FromJson(ByteLevelStep(true, true))->prefix_space(),
            Pretokenizer::PrefixSpace::kAdd);
  EXPECT_EQ(Pretokenizer::FromJson(ByteLevelStep(false, true))->prefix_space(),
            Pretokenizer::PrefixSpace::kNever);
  EXPECT_THAT(Words(ByteLevelStep(false, false), "a b"), ElementsAre("a b"));
}

struct Refusal {
  const char* json;
  absl::StatusCode code;
  const char* names;
};

TEST(PretokenizerTest, RefusesAndNamesTheField) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;
  const Refusal refusals[] = {
      {R"([])", kInvalid, "pre_tokenizer: expected an object"},
      {R"({})", kInvalid, "pre_tokenizer.type: expected"},
      {R"({"type": "Metaspace"})", kUnimplemented, "Metaspace"},
      {R"({"type": "Sequence"})", kInvalid, "pre_tokenizer.pretokenizers: expected"},
      {R"({"type": "Sequence", "pretokenizers": []})", kUnimplemented, "no ByteLevel"},
      {R"({"type": "Sequence", "pretokenizers": [{"type": "Digits"}]})", kUnimplemented, "[0]"},
      {R"({"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}, {"type": "ByteLevel"}]})",
       kUnimplemented,
       "Whitespace"},
      {R"({"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}, {"type": "ByteLevel"}]})",
       kUnimplemented,
       "[0]"},
      {R"({"type": "Sequence", "pretokenizers": [{"type": "Digits"}, {"type": "ByteLevel"}]})",
       kUnimplemented,
       "add_prefix_space"},
      {R"({"type": "ByteLevel", "use_regex": 1})", kInvalid, "pre_tokenizer.use_regex"},
  };
  for (const auto& [json, code, names] : refusals) {
    const absl::Status status = Pretokenizer::FromJson(*ParseJson(json)).status();
    EXPECT_EQ(status.code(), code) << json << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(names));
  }
}

TEST(PretokenizerTest, RefusesSplitsThatItDoesNotKnow) {
  boost::json::value removed = SplitStep("[a]");
  removed.as_object()["behavior"] = "Removed";
  boost::json::value inverted = SplitStep("[a]");
  inverted.as_object()["invert"] = true;
  boost::json::value plain = SplitStep("[a]");
  plain.as_object()["pattern"] = {{"String", "a"}};
  for (const boost::json::value& step : {removed,
                                         inverted,
                                         plain,
                                         SplitStep("abc"),
                                         SplitStep("[a]*"),
                                         SplitStep("[a]{2}"),
                                         SplitStep("[a]|[b]"),
                                         SplitStep("[a]+b")}) {
    const absl::Status status = Pretokenizer::FromJson(Sequence({step})).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << boost::json::serialize(step);
    EXPECT_THAT(std::string(status.message()), HasSubstr("pretokenizers[0]"));
  }
}

}  // namespace
}  // namespace hadal
