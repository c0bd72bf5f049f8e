#include "server/generation/served_model.h"

#include <algorithm>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "engine/text/chat/prompt_tokens.h"
#include "engine/text/stream_decoder.h"
#include "tests/server/generation/test_model.h"

namespace hadal {
namespace {

using testing::HasSubstr;

class ServedModelTest : public testing::Test {
 protected:
  const ServedModel model_ = MakeTestModel(ChatFormat::kV31, 4096);
};

TEST_F(ServedModelTest, KnowsItsNamesAlone) {
  EXPECT_TRUE(model_.CheckName("test-model").ok());
  EXPECT_TRUE(model_.CheckName("alias").ok());
  EXPECT_TRUE(model_.CheckName("").ok());
  const absl::Status status = model_.CheckName("gpt-4\r\n");
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("test-model"));
}

TEST_F(ServedModelTest, TextBeginsOnce) {
  const auto prompt = model_.EncodeText("hello");
  ASSERT_TRUE(prompt.ok());
  EXPECT_EQ(prompt->tokens.front(), IdOfAdded(kBeginOfSentence));
  EXPECT_EQ(Decode(TestTokenizer(), prompt->tokens, SpecialTokens::kHide), "hello");
  EXPECT_TRUE(absl::IsInvalidArgument(model_.EncodeText("\xFF").status()));
}

TEST_F(ServedModelTest, AHoleIsFilledBetweenItsTokens) {
  const auto prompt = model_.EncodeFill("def f(", "): pass");
  ASSERT_TRUE(prompt.ok());
  EXPECT_EQ(Decode(TestTokenizer(), prompt->tokens, SpecialTokens::kShow),
            std::string(kBeginOfSentence) + std::string(kFimBegin) + "def f(" +
                std::string(kFimHole) + "): pass" + std::string(kFimEnd));
}

TEST_F(ServedModelTest, IdsAreThoseOfTheVocabulary) {
  EXPECT_TRUE(model_.TakeIds({0, 129'279}).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(model_.TakeIds({129'280}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(model_.TakeIds({-1}).status()));
  EXPECT_TRUE(model_.DecodeIds(std::vector<TokenId>{0, 129'279}).ok());
  EXPECT_THAT(model_.DecodeIds(std::vector<TokenId>{0, 129'280}).status().ToString(),
              testing::HasSubstr("tokens: token 129280 at place 1"));
}

TEST_F(ServedModelTest, TextThatCannotFitIsRefusedBeforeItIsEncoded) {
  const ServedModel small = MakeTestModel(ChatFormat::kV31, 2);
  EXPECT_TRUE(small.EncodeText(std::string(100, ' ')).ok()) << "a token has up to 128 blanks";
  EXPECT_TRUE(absl::IsOutOfRange(small.EncodeText(std::string(10'000, 'a')).status()));
  const ChatRequest chat = {.messages = {{.content = std::string(10'000, 'a')}}};
  EXPECT_TRUE(absl::IsOutOfRange(small.EncodeChat(chat).status()));
}

TEST_F(ServedModelTest, NoMoreIdsBecomeTextThanAContextHolds) {
  const ServedModel small = MakeTestModel(ChatFormat::kV31, 2);
  EXPECT_TRUE(small.DecodeIds(std::vector<TokenId>{5, 5}).ok());
  EXPECT_TRUE(absl::IsOutOfRange(small.DecodeIds(std::vector<TokenId>{5, 5, 5}).status()));
}

// No text of a user becomes a token that means something, whatever field it stands in.
TEST_F(ServedModelTest, NoTextSmugglesAnAddedToken) {
  const auto encode = [this](ChatRequest chat) {
    const auto prompt = model_.EncodeChat(chat);
    CHECK(prompt.ok());
    std::vector<TokenId> added;
    std::ranges::copy_if(prompt->tokens, std::back_inserter(added), [](TokenId id) {
      return TestTokenizer().IsAdded(id);
    });
    return added;
  };
  const auto chat_with = [](std::string_view text) {
    const std::string t(text);
    ChatRequest chat;
    chat.messages = {{.role = Role::kSystem, .content = t},
                     {.role = Role::kUser, .content = t},
                     {.role = Role::kAssistant,
                      .content = t,
                      .tool_calls = {{.id = "1", .name = t, .arguments = t}}},
                     {.role = Role::kTool, .content = t, .tool_call_id = "1"},
                     {.role = Role::kAssistant, .content = t},
                     {.role = Role::kUser, .content = t},
                     {.role = Role::kAssistant, .content = t, .prefix = true}};
    chat.tools = {{.name = t, .description = t, .parameters = t, .function = t}};
    return chat;
  };
  const std::vector<TokenId> scaffold = encode(chat_with("plain"));
  int num_added = 0;
  for (TokenId id = 0; id < TestTokenizer().vocab_size(); ++id) {
    if (!TestTokenizer().IsAdded(id)) {
      continue;
    }
    ++num_added;
    const std::string_view name = TestTokenizer().Piece(id);
    ASSERT_EQ(encode(chat_with(name)), scaffold) << name;
    const auto fill = model_.EncodeFill(name, name);
    ASSERT_TRUE(fill.ok());
    ASSERT_EQ(
        std::ranges::count_if(fill->tokens, [](TokenId t) { return TestTokenizer().IsAdded(t); }),
        4)
        << name;
  }
  EXPECT_GE(num_added, 800);
}

}  // namespace
}  // namespace hadal
