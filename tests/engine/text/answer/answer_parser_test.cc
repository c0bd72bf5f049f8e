#include "engine/text/answer/answer_parser.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/engine/text/answer/answer_test_support.h"

namespace hadal {
namespace {

constexpr ChatFormat kFormats[] = {
    ChatFormat::kV2, ChatFormat::kV3, ChatFormat::kR1, ChatFormat::kV31};
constexpr TokenId kEndId = 257;
constexpr TokenId kFirstStructureId = 258;

// The answer on one line, as R[reasoning] C[content] name(arguments) name(arguments…
std::string Show(const Answer& answer) {
  std::string text;
  if (!answer.reasoning_content.empty()) {
    text += "R[" + answer.reasoning_content + "]";
  }
  if (!answer.content.empty()) {
    text += "C[" + answer.content + "]";
  }
  for (const AnswerCall& call : answer.tool_calls) {
    text += call.name + "(" + call.arguments + (call.complete ? ")" : "…");
  }
  return text;
}

class AnswerParserTest : public testing::Test {
 protected:
  // Names of structure become its tokens; for the calls there are short ones.
  std::vector<TokenId> Ids(std::string_view text) const {
    constexpr std::string_view kShort[] = {"<think>", "</think>", "{{", "}}", "[[", "]]", "::"};
    std::vector<TokenId> ids;
    while (!text.empty()) {
      size_t size = 1;
      TokenId id = static_cast<uint8_t>(text.front());
      for (size_t i = 0; i < std::size(kShort); ++i) {
        if (text.starts_with(kShort[i])) {
          size = kShort[i].size();
          id = kFirstStructureId + static_cast<TokenId>(i);
        }
      }
      ids.push_back(id);
      text.remove_prefix(size);
    }
    return ids;
  }

  std::string Parsed(ChatFormat format, PromptState state, std::string_view text) const {
    return Show(Parse(AnswerParser(tokenizer_, format, state), Ids(text)));
  }
  std::string Content(ChatFormat format, std::string_view text) const {
    return Parsed(format, PromptState::kContent, text);
  }
  std::string Reasoning(ChatFormat format, std::string_view text) const {
    return Parsed(format, PromptState::kReasoning, text);
  }

  const Tokenizer tokenizer_ = StructureTokenizer();
};

TEST_F(AnswerParserTest, V2IsAllContent) {
  EXPECT_EQ(Content(ChatFormat::kV2, " a<think>b</think>[[f::1]]"),
            "C[ a<think>b</think><｜tool▁call▁begin｜>f<｜tool▁sep｜>1<｜tool▁call▁end｜>]");
  EXPECT_EQ(Content(ChatFormat::kV2, "\n"), "C[\n]");
  EXPECT_EQ(Content(ChatFormat::kV2, ""), "");
}

TEST_F(AnswerParserTest, ReasoningEndsAtItsToken) {
  EXPECT_EQ(Reasoning(ChatFormat::kV31, "why</think>so"), "R[why]C[so]");
  EXPECT_EQ(Reasoning(ChatFormat::kV31, "\nwhy\n</think>\n\nso\n"), "R[\nwhy\n]C[\n\nso\n]");
  EXPECT_EQ(Reasoning(ChatFormat::kV31, "</think>so"), "C[so]");
  EXPECT_EQ(Reasoning(ChatFormat::kV31, "why"), "R[why]");
  EXPECT_EQ(Reasoning(ChatFormat::kV31, "why</think>"), "R[why]");
  EXPECT_EQ(Content(ChatFormat::kV31, "so"), "C[so]");
  EXPECT_EQ(Content(ChatFormat::kV3, "so</think>"), "C[so</think>]");
}

TEST_F(AnswerParserTest, R1WritesLineBreaksAroundReasoning) {
  EXPECT_EQ(Reasoning(ChatFormat::kR1, "why\n</think>\n\nso\n"), "R[why]C[so\n]");
  EXPECT_EQ(Reasoning(ChatFormat::kR1, "\nwhy\n\n</think>\n\n\nso"), "R[\nwhy\n]C[\nso]");
  EXPECT_EQ(Reasoning(ChatFormat::kR1, "a\nb\nc</think>so"), "R[a\nb\nc]C[so]");
  EXPECT_EQ(Reasoning(ChatFormat::kR1, "why</think> \nso"), "R[why]C[ \nso]");
  EXPECT_EQ(Reasoning(ChatFormat::kR1, "\n</think>\n\n"), "");
  EXPECT_EQ(Reasoning(ChatFormat::kR1, "why\n"), "R[why\n]");
}

TEST_F(AnswerParserTest, ReasoningMayBeginWithItsToken) {
  EXPECT_EQ(Content(ChatFormat::kR1, "<think>\nwhy\n</think>\n\nso"), "R[why]C[so]");
  EXPECT_EQ(Content(ChatFormat::kR1, "\n<think>\n\nwhy</think>so"), "R[\nwhy]C[so]");
  EXPECT_EQ(Content(ChatFormat::kV31, "<think>\nwhy</think>so"), "R[\nwhy]C[so]");
}

TEST_F(AnswerParserTest, TokensOutOfPlaceAreText) {
  EXPECT_EQ(Content(ChatFormat::kR1, "the <think> and </think> tags"),
            "C[the <think> and </think> tags]");
  EXPECT_EQ(
      Reasoning(ChatFormat::kR1, "<think>a::b]]}}</think>c<think>d</think>"),
      "R[<think>a<｜tool▁sep｜>b<｜tool▁call▁end｜><｜tool▁calls▁end｜>]C[c<think>d</think>]");
  EXPECT_EQ(Content(ChatFormat::kV31, "a::b]]}}"),
            "C[a<｜tool▁sep｜>b<｜tool▁call▁end｜><｜tool▁calls▁end｜>]");
  EXPECT_EQ(Content(ChatFormat::kV31, "{{[[f::\"::</think>\"]]}}"),
            "f(\"<｜tool▁sep｜></think>\")");
}

TEST_F(AnswerParserTest, NamesOfTokensInTextAreText) {
  std::string text;
  for (const std::string_view name : kStructureNames) {
    text += name;
  }
  std::vector<TokenId> ids;
  for (const char byte : text) {
    ids.push_back(static_cast<uint8_t>(byte));
  }
  for (const ChatFormat format : kFormats) {
    const Answer answer = Parse(AnswerParser(tokenizer_, format, PromptState::kContent), ids);
    EXPECT_EQ(Show(answer), "C[" + text + "]") << NameOf(format);
  }
}

TEST_F(AnswerParserTest, BareCalls) {
  constexpr ChatFormat kFormat = ChatFormat::kV31;
  EXPECT_EQ(Content(kFormat, "{{[[f::{\"a\": 1}]][[g::{}]]}}"), "f({\"a\": 1})g({})");
  EXPECT_EQ(Content(kFormat, "Sure.\n\n{{[[f::{}]]}}"), "C[Sure.\n\n]f({})");
  EXPECT_EQ(Content(kFormat, "{{[[ f \n:: {}\n]]}}"), "f( {}\n)");
  EXPECT_EQ(Content(kFormat, "{{[[f::]]}}"), "f()");
  EXPECT_EQ(Content(kFormat, "{{[[::{}]]}}"), "({})");
  EXPECT_EQ(Content(kFormat, "{{[[f::```json\n{}\n```]]}}"), "f(```json\n{}\n```)");
  EXPECT_EQ(Reasoning(kFormat, "why</think>{{[[f::{}]]}}"), "R[why]f({})");
}

TEST_F(AnswerParserTest, FencedCalls) {
  for (const ChatFormat format : {ChatFormat::kV3, ChatFormat::kR1}) {
    const std::string call = "[[function::f\n```json\n{\"a\": 1}\n```]]";
    EXPECT_EQ(Content(format, "{{" + call + "\n" + call + "}}"), "f({\"a\": 1})f({\"a\": 1})");
    EXPECT_EQ(Content(format, "Sure.{{" + call + "}}"), "C[Sure.]f({\"a\": 1})");
    EXPECT_EQ(Content(format, "{{[[function::f\n{}]]}}"), "f({})");
    EXPECT_EQ(Content(format, "{{[[\nfunction\n::\n f ```{}```\n]]}}"), "f({})");
    EXPECT_EQ(Content(format, "{{[[function::f]]}}"), "f()");
    EXPECT_EQ(Content(format, "{{[[::f\n{}]]}}"), "f({})");
    EXPECT_EQ(Content(format, "{{[[function::\n```json\n{}\n```]]}}"), "({})");
  }
}

TEST_F(AnswerParserTest, BlocksMayBeOpenOrMissing) {
  constexpr ChatFormat kFormat = ChatFormat::kV31;
  EXPECT_EQ(Content(kFormat, "[[f::{}]][[g::{}]]"), "f({})g({})");
  EXPECT_EQ(Content(kFormat, "[[f::{}]]}}a"), "C[a]f({})");
  EXPECT_EQ(Content(kFormat, "{{{{[[f::{}]]}}{{[[g::{}]]}}"), "f({})g({})");
  EXPECT_EQ(Content(kFormat, "{{}}"), "");
  EXPECT_EQ(Reasoning(kFormat, "why\n{{[[f::{}]]}}so"), "R[why\n]C[so]f({})");
  EXPECT_EQ(Reasoning(kFormat, "why[[f::{}]]"), "R[why]f({})");
  EXPECT_EQ(Reasoning(ChatFormat::kR1, "why\n[[function::f\n{}]]"), "R[why\n]f({})");
}

TEST_F(AnswerParserTest, BlankTextBesideStructureIsDropped) {
  constexpr ChatFormat kFormat = ChatFormat::kV31;
  EXPECT_EQ(Content(kFormat, "\n{{ [[f::{}]]\n[[g::{}]] \n}}\n"), "f({})g({})");
  EXPECT_EQ(Content(kFormat, "{{[[f::{}]]\nand \n[[g::{}]]}}"), "C[\nand \n]f({})g({})");
  EXPECT_EQ(Content(kFormat, "{{[[f::{}]]}} done\n"), "C[ done\n]f({})");
  EXPECT_EQ(Reasoning(kFormat, "why</think>\n\n{{[[f::{}]]}}"), "R[why]f({})");
  EXPECT_EQ(Content(kFormat, "\n \n"), "C[\n \n]");
}

TEST_F(AnswerParserTest, MalformedCallsLoseNoText) {
  EXPECT_EQ(Content(ChatFormat::kV31, "{{[[f {}]]}}"), "C[f {}]");
  EXPECT_EQ(Content(ChatFormat::kV31, "{{[[f [[g::{}]]}}"), "C[f ]g({})");
  EXPECT_EQ(Content(ChatFormat::kV31, "{{[[f }}"), "C[f ]");
  EXPECT_EQ(Content(ChatFormat::kV31, "{{[[]][[::]]}}"), "()");
  EXPECT_EQ(Content(ChatFormat::kV31, "{{[[f::{[[g::{}]]}}"), "f({…g({})");
  EXPECT_EQ(Content(ChatFormat::kV31, "{{[[f::{}{{[[g::{} }}h"), "C[h]f({}…g({} …");
  EXPECT_EQ(Content(ChatFormat::kV3, "{{[[tool::f\n{}]]}}"), "C[tool]f({})");
  EXPECT_EQ(Content(ChatFormat::kV3, "{{[[f\n{}]]}}"), "C[f\n{}]");
  EXPECT_EQ(Content(ChatFormat::kV3, "{{[[function::f[[function::g\n{}]]}}"), "f(…g({})");
  EXPECT_EQ(Content(ChatFormat::kV3, "{{[[function:: ]]}}"), "");
}

TEST_F(AnswerParserTest, AnswersMayEndAnywhere) {
  EXPECT_EQ(Content(ChatFormat::kV31, "{{[[get_"), "get_(…");
  EXPECT_EQ(Content(ChatFormat::kV31, "{{[["), "");
  EXPECT_EQ(Content(ChatFormat::kV31, "{{[[f::{\"a"), "f({\"a…");
  EXPECT_EQ(Content(ChatFormat::kV3, "{{[[func"), "");
  EXPECT_EQ(Content(ChatFormat::kV3, "{{[[fun!"), "C[fun!]");
  EXPECT_EQ(Content(ChatFormat::kV3, "{{[[function::"), "");
  EXPECT_EQ(Content(ChatFormat::kV3, "{{[[function::get_"), "get_(…");
  EXPECT_EQ(Content(ChatFormat::kV3, "{{[[function::f\n```js"), "f(…");
  EXPECT_EQ(Content(ChatFormat::kV3, "{{[[function::f\n```json\n{}\n``"), "f({}\n``…");
  EXPECT_EQ(Content(ChatFormat::kV3, "{{[[function::f\n```json\n{}\n```"), "f({}…");
}

TEST_F(AnswerParserTest, CharactersComeWhole) {
  EXPECT_EQ(Reasoning(ChatFormat::kR1, "为何</think>中文{{[[function::问\n{\"😀\"}]]"),
            "R[为何]C[中文]问({\"😀\"})");
  // A character that structure breaks off is replaced where it began.
  EXPECT_EQ(Reasoning(ChatFormat::kV31, "a\xE4\xB8</think>\xADz"), "R[a\uFFFD]C[\uFFFDz]");
  EXPECT_EQ(Content(ChatFormat::kV31, "[[f\xE4::\xF0\x9F]]"), "f\uFFFD(\uFFFD)");
  EXPECT_EQ(Content(ChatFormat::kV31, "[[f::\xF0\x9F"), "f(\uFFFD…");
}

TEST_F(AnswerParserTest, SpecialAndUnknownTokensAreLeftOut) {
  const AnswerParser parser(tokenizer_, ChatFormat::kV31, PromptState::kContent);
  EXPECT_EQ(Show(Parse(parser, std::vector<TokenId>{'a', kEndId, -1, 99999, 'b'})), "C[ab]");
}

TEST_F(AnswerParserTest, MissingTokensMakeNoStructure) {
  const Tokenizer tokenizer = *Tokenizer::FromJson(SmallTokenizerText());
  const AnswerParser parser(tokenizer, ChatFormat::kR1, PromptState::kReasoning);
  EXPECT_EQ(Show(Parse(parser, std::vector<TokenId>{'a', -1, 266, 'b'})), "R[a]C[b]");
}

// Random tokens, mostly of structure: nothing is lost but blanks, and an answer only grows.
TEST_F(AnswerParserTest, RandomTokens) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  constexpr std::string_view kText = "fg{}`\n \xE4\xB8\xAD";
  for (int32_t round = 0; round < 20000; ++round) {
    const ChatFormat format = kFormats[random() % std::size(kFormats)];
    const bool reasons = format == ChatFormat::kR1 || format == ChatFormat::kV31;
    const PromptState state =
        reasons && random() % 2 == 0 ? PromptState::kReasoning : PromptState::kContent;
    std::vector<TokenId> ids;
    int64_t num_letters = 0;
    for (size_t i = random() % 40; i > 0; --i) {
      const bool is_text = random() % 3 != 0;
      ids.push_back(is_text ? static_cast<uint8_t>(kText[random() % kText.size()])
                            : static_cast<TokenId>(256 + random() % 10));
      num_letters += ids.back() == 'g' || ids.back() == '{' || ids.back() == '}' ? 1 : 0;
    }
    const Answer answer = Parse(AnswerParser(tokenizer_, format, state), ids);
    std::string all = answer.reasoning_content + answer.content;
    for (const AnswerCall& call : answer.tool_calls) {
      all += call.name + call.arguments;
    }
    for (const std::string_view name : kStructureNames) {
      for (size_t at = all.find(name); at != std::string::npos; at = all.find(name)) {
        all.erase(at, name.size());
      }
    }
    ASSERT_EQ(std::count_if(
                  all.begin(), all.end(), [](char c) { return c == 'g' || c == '{' || c == '}'; }),
              num_letters)
        << Show(answer) << testing::PrintToString(ids);
  }
}

TEST_F(AnswerParserTest, IsLinear) {
  constexpr size_t kSize = size_t{1} << 20U;
  for (const std::string_view unit :
       {" ", "\n", "[[", "::", "]]", "f", "[[function::", "<think>"}) {
    std::string text = "[[";
    while (text.size() < kSize) {
      text += unit;
    }
    for (const ChatFormat format : kFormats) {
      Content(format, text);
    }
  }
}

}  // namespace
}  // namespace hadal
