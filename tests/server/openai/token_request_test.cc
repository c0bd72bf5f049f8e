#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/openai/requests.h"
#include "tests/server/openai/openai_test_support.h"

namespace hadal {
namespace {

using testing::ElementsAre;

absl::StatusOr<TokenizeCall> Read(std::string_view body) {
  return ReadTokenizeCall(Json(body), GenerationLimits{});
}

TEST(TokenRequestTest, TokenizesText) {
  const auto call = Read(R"({"model": "m", "prompt": "x"})");
  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_EQ(call->model, "m");
  EXPECT_EQ(call->text, "x");
  EXPECT_FALSE(call->chat.has_value());
  EXPECT_TRUE(call->add_special_tokens);
  EXPECT_FALSE(call->return_token_strs);
  const auto other =
      Read(R"({"prompt": "", "add_special_tokens": false, "return_token_strs": true})");
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(other->text, "");
  EXPECT_FALSE(other->add_special_tokens);
  EXPECT_TRUE(other->return_token_strs);
}

TEST(TokenRequestTest, TokenizesAChatAsItWouldBeAnswered) {
  const auto call = Read(R"({"messages": [{"role": "user", "content": "x"}],
      "tools": [{"type": "function", "function": {"name": "f"}}],
      "chat_template_kwargs": {"thinking": true}, "add_generation_prompt": true})");
  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_FALSE(call->text.has_value());
  ASSERT_TRUE(call->chat.has_value());
  EXPECT_EQ(call->chat->messages.size(), 1U);
  EXPECT_EQ(call->chat->tools.size(), 1U);
  EXPECT_EQ(call->chat->thinking, Thinking::kEnabled);
  EXPECT_FALSE(call->add_special_tokens);
}

TEST(TokenRequestTest, TextAndChatExcludeEachOther) {
  constexpr const char* kMessages = R"("messages": [{"role": "user", "content": "x"}])";
  const std::pair<std::string, const char*> refusals[] = {
      {R"({"model": "m"})", "prompt"},
      {absl::StrFormat(R"({"prompt": "x", %s})", kMessages), "prompt"},
      {absl::StrFormat(R"({"add_special_tokens": true, %s})", kMessages), "add_special_tokens"},
      {R"({"prompt": "x", "tools": []})", "tools"},
      {R"({"prompt": "x", "thinking": true})", "thinking"},
      {R"({"prompt": ["x"]})", "prompt"},
  };
  for (const auto& [body, param] : refusals) {
    EXPECT_EQ(ApiErrorOf(Read(body).status()).param, param) << body;
  }
}

TEST(TokenRequestTest, Detokenizes) {
  const auto read = [](const char* body) {
    return ReadDetokenizeCall(Json(body), GenerationLimits{});
  };
  const auto call = read(R"({"model": "m", "tokens": [0, 5, 2147483647]})");
  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_EQ(call->model, "m");
  EXPECT_THAT(call->tokens, ElementsAre(0, 5, 2147483647));
  EXPECT_EQ(ApiErrorOf(read(R"({"tokens": [1, -1]})").status()).param, "tokens[1]");
  EXPECT_EQ(ApiErrorOf(read(R"({"tokens": [9223372036854775808]})").status()).param, "tokens[0]");
  EXPECT_EQ(ApiErrorOf(read(R"({"tokens": ["1"]})").status()).param, "tokens[0]");
}

}  // namespace
}  // namespace hadal
