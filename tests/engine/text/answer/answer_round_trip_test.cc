// What the prompt encoders write of an assistant, AnswerParser reads back: with DeepSeek's own
// tokenizer, and when it is cut anywhere.

#include <algorithm>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/mapped_file.h"
#include "engine/text/chat/prompt_encoder.h"
#include "tests/engine/text/answer/answer_test_support.h"

namespace hadal {
namespace {

using testing::StartsWith;

constexpr ChatFormat kFormats[] = {ChatFormat::kV3, ChatFormat::kR1, ChatFormat::kV31};

// Gives a token another name.
void Rename(std::string_view from, std::string_view to, std::string& text) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at)) {
    text.replace(at, from.size(), to);
  }
}

// A JSON string of the names of all tokens of structure.
std::string Spelled() {
  std::string text("\"");
  for (const std::string_view name : kStructureNames) {
    text += name;
  }
  text.push_back('"');
  return text;
}

std::vector<ToolCall> Calls() {
  return {{.id = "1", .name = "get_weather", .arguments = R"({"city": "Paris", "n": [1, {}]})"},
          {.id = "2", .name = "f", .arguments = "{}"},
          {.id = "3",
           .name = "查询",
           .arguments = R"({"问": "天气 🌦️ 👩‍👧", "é": "ß"})"},
          {.id = "4", .name = "run.code-2", .arguments = "{\n  \"code\": \"```js\\n1\\n```\"\n}\n"},
          {.id = "5", .name = "echo", .arguments = Spelled()}};
}

void ExpectPrefix(const Answer& part, const Answer& whole) {
  EXPECT_THAT(whole.reasoning_content, StartsWith(part.reasoning_content));
  EXPECT_THAT(whole.content, StartsWith(part.content));
  ASSERT_LE(part.tool_calls.size(), whole.tool_calls.size());
  for (size_t i = 0; i < part.tool_calls.size(); ++i) {
    EXPECT_THAT(whole.tool_calls[i].name, StartsWith(part.tool_calls[i].name));
    EXPECT_THAT(whole.tool_calls[i].arguments, StartsWith(part.tool_calls[i].arguments));
    EXPECT_LE(part.tool_calls[i].complete, whole.tool_calls[i].complete);
  }
}

// Takes off what Finish may have given out that more tokens would have taken back.
void DropUncertainEnds(Answer& answer) {
  const auto drop = [](std::string& text) {
    while (text.ends_with("\uFFFD")) {
      text.erase(text.size() - 3);
    }
    text.erase(text.find_last_not_of(" \n`") + 1);
  };
  drop(answer.reasoning_content);
  drop(answer.content);
  for (AnswerCall& call : answer.tool_calls) {
    drop(call.name);
    drop(call.arguments);
  }
}

class AnswerRoundTripTest : public testing::Test {
 protected:
  // DeepSeek-V3's tokenizer; two tokens that stand in reserve are named as R1's and V3.1's are.
  static void SetUpTestSuite() {
    constexpr size_t kMaxBytes = size_t{64} << 20U;
    absl::StatusOr<std::string> text = ReadTextFile(
        HADAL_SOURCE_DIR "/tests/data/deepseek-v3-tokenizer/tokenizer.json", kMaxBytes);
    ASSERT_TRUE(text.ok()) << text.status();
    Rename("<｜place▁holder▁no▁798｜>", kThinkBegin, *text);
    Rename("<｜place▁holder▁no▁799｜>", kThinkEnd, *text);
    tokenizer_ = std::make_unique<const Tokenizer>(*Tokenizer::FromJson(*text));
  }
  static void TearDownTestSuite() { tokenizer_.reset(); }

  // The tokens that the encoder of `format` writes behind the first `<｜Assistant｜>`, up to the
  // end of the turn, where it has one.
  static std::vector<TokenId> AnswerIds(ChatFormat format, const Message& message) {
    Message question;
    question.content = "q";
    ChatRequest request = {.messages = {question, message}, .tools = {}};
    if (message.prefix) {
      request.thinking = Thinking::kEnabled;
    } else {
      request.messages.push_back(question);
    }
    const absl::StatusOr<ChatPrompt> prompt = EncodeChat(format, request);
    EXPECT_TRUE(prompt.ok()) << prompt.status();
    const std::vector<TokenId> ids = *EncodePrompt(prompt->segments, *tokenizer_);
    const auto begin =
        std::find(ids.begin(), ids.end(), tokenizer_->FindAddedToken(kAssistantToken)) + 1;
    return {begin, std::find(begin, ids.end(), tokenizer_->FindAddedToken(kEndOfSentence))};
  }

  // Cuts the answer behind every token.
  static void ExpectGrowth(const AnswerParser& parser, const std::vector<TokenId>& ids) {
    const Answer whole = Parse(parser, ids);
    AnswerParser streaming = parser;
    Answer part;
    for (size_t i = 0; i < ids.size(); ++i) {
      std::vector<AnswerDelta> deltas;
      streaming.Push(ids[i], deltas);
      for (const AnswerDelta& delta : deltas) {
        AppendDelta(delta, part);
      }
      ExpectPrefix(part, whole);
      Answer finished = Parse(parser, std::span(ids).first(i + 1));
      ExpectPrefix(part, finished);
      DropUncertainEnds(finished);
      ExpectPrefix(finished, whole);
    }
  }

  static std::unique_ptr<const Tokenizer> tokenizer_;
};

std::unique_ptr<const Tokenizer> AnswerRoundTripTest::tokenizer_;

TEST_F(AnswerRoundTripTest, Calls) {
  for (const ChatFormat format : kFormats) {
    for (const std::string& content : {std::string(), Spelled() + " 好\n\n"}) {
      Message message;
      message.role = Role::kAssistant;
      message.content = content;
      message.tool_calls = Calls();
      std::vector<TokenId> ids = AnswerIds(format, message);
      PromptState state = PromptState::kContent;
      if (format == ChatFormat::kV31) {
        EXPECT_EQ(ids.front(), tokenizer_->FindAddedToken(kThinkEnd));
        state = PromptState::kReasoning;
      }
      const AnswerParser parser(*tokenizer_, format, state);
      const Answer answer = Parse(parser, ids);
      // R1's encoder drops reasoning that stands in the content.
      const size_t end = format == ChatFormat::kR1 ? content.find(kThinkEnd) : std::string::npos;
      EXPECT_EQ(answer.content,
                end == std::string::npos ? content : content.substr(end + kThinkEnd.size()));
      EXPECT_EQ(answer.reasoning_content, "");
      ASSERT_EQ(answer.tool_calls.size(), Calls().size());
      for (size_t i = 0; i < Calls().size(); ++i) {
        EXPECT_EQ(answer.tool_calls[i].name, Calls()[i].name);
        EXPECT_EQ(answer.tool_calls[i].arguments, Calls()[i].arguments);
        EXPECT_TRUE(answer.tool_calls[i].complete);
      }
      ExpectGrowth(parser, ids);
    }
  }
}

TEST_F(AnswerRoundTripTest, Reasoning) {
  for (const ChatFormat format : {ChatFormat::kR1, ChatFormat::kV31}) {
    for (const std::string_view content : {"So.", "\n所以 🌦️\n", "```\n"}) {
      Message message;
      message.role = Role::kAssistant;
      message.content = content;
      message.reasoning_content = Spelled() + "\n\n…\n";
      message.prefix = true;
      const std::vector<TokenId> ids = AnswerIds(format, message);
      EXPECT_EQ(ids.front(), tokenizer_->FindAddedToken(kThinkBegin));
      const AnswerParser parser(*tokenizer_, format, PromptState::kContent);
      const Answer answer = Parse(parser, ids);
      EXPECT_EQ(answer.reasoning_content, message.reasoning_content);
      EXPECT_EQ(answer.content, message.content);
      ExpectGrowth(parser, ids);
    }
  }
}

// Without structure an answer is what its tokens decode to.
TEST_F(AnswerRoundTripTest, PlainContent) {
  for (const std::string& text :
       {std::string("\n\nHello, 世界 👩‍👧!\n"), Spelled(), std::string(" \n")}) {
    const std::vector<TokenId> ids = *tokenizer_->Encode(text);
    for (const ChatFormat format :
         {ChatFormat::kV2, ChatFormat::kV3, ChatFormat::kR1, ChatFormat::kV31}) {
      const AnswerParser parser(*tokenizer_, format, PromptState::kContent);
      EXPECT_EQ(Parse(parser, ids).content, text);
      ExpectGrowth(parser, ids);
    }
  }
}

}  // namespace
}  // namespace hadal
