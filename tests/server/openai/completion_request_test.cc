#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/openai/requests.h"
#include "tests/server/openai/openai_test_support.h"

namespace hadal {
namespace {

using testing::ElementsAre;
using testing::VariantWith;

absl::StatusOr<CompletionCall> Read(std::string_view body) {
  return ReadCompletionCall(Json(body), GenerationLimits{});
}

std::string ParamOf(std::string_view body) {
  return ApiErrorOf(Read(body).status()).param;
}

TEST(CompletionRequestTest, DefaultsAreThoseOfTheApi) {
  const auto call = Read(R"({"prompt": "x"})");
  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_THAT(call->prompts, ElementsAre(VariantWith<std::string>("x")));
  EXPECT_EQ(call->params.max_tokens, 16);
  EXPECT_EQ(call->params.sampling.num_logprobs, -1);
  EXPECT_EQ(call->suffix, std::nullopt);
  EXPECT_FALSE(call->echo);
  EXPECT_FALSE(call->delivery.stream);
}

TEST(CompletionRequestTest, PromptsComeInFourForms) {
  using Tokens = std::vector<TokenId>;
  EXPECT_THAT(Read(R"({"prompt": ""})")->prompts, ElementsAre(VariantWith<std::string>("")));
  EXPECT_THAT(Read(R"({"prompt": ["a", ""]})")->prompts,
              ElementsAre(VariantWith<std::string>("a"), VariantWith<std::string>("")));
  EXPECT_THAT(Read(R"({"prompt": [3, 0, 2147483647]})")->prompts,
              ElementsAre(VariantWith<Tokens>(ElementsAre(3, 0, 2147483647))));
  EXPECT_THAT(
      Read(R"({"prompt": [[1], [2, 3]]})")->prompts,
      ElementsAre(VariantWith<Tokens>(ElementsAre(1)), VariantWith<Tokens>(ElementsAre(2, 3))));
}

TEST(CompletionRequestTest, OtherPromptsAreRefused) {
  const std::pair<const char*, const char*> refusals[] = {
      {R"([])", "prompt"},
      {R"([[]])", "prompt[0]"},
      {R"([[1], []])", "prompt[1]"},
      {R"([1, "a"])", "prompt[1]"},
      {R"([1, [2]])", "prompt[1]"},
      {R"([-1])", "prompt[0]"},
      {R"([1.5])", "prompt[0]"},
      {R"([2147483648])", "prompt[0]"},
      {R"([18446744073709551616])", "prompt[0]"},
      {R"([[1, -1]])", "prompt[0][1]"},
      {R"([["a"]])", "prompt[0][0]"},
      {R"(["a", 1])", "prompt[1]"},
      {R"([null])", "prompt[0]"},
      {R"([{}])", "prompt[0]"},
      {R"([true])", "prompt[0]"},
  };
  for (const auto& [prompt, param] : refusals) {
    EXPECT_EQ(ParamOf(absl::StrFormat(R"({"prompt": %s})", prompt)), param) << prompt;
  }
}

TEST(CompletionRequestTest, ReadsItsOwnFields) {
  const auto call = Read(R"({"prompt": "a", "suffix": "", "echo": true, "max_tokens": 3,
      "n": 2, "best_of": 2, "stream": true, "model": "m", "temperature": 0,
      "add_special_tokens": true})");
  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_EQ(call->suffix, "");
  EXPECT_TRUE(call->echo);
  EXPECT_EQ(call->params.max_tokens, 3);
  EXPECT_EQ(call->params.n, 2);
  EXPECT_EQ(call->params.sampling.temperature, 0);
  EXPECT_TRUE(call->delivery.stream);
  EXPECT_EQ(call->model, "m");
}

TEST(CompletionRequestTest, LogprobsAreANumber) {
  const auto num_logprobs = [](const char* body) {
    const auto call = Read(body);
    EXPECT_TRUE(call.ok()) << call.status();
    return call.ok() ? call->params.sampling.num_logprobs : -99;
  };
  EXPECT_EQ(num_logprobs(R"({"prompt": "x", "logprobs": 0})"), 0);
  EXPECT_EQ(num_logprobs(R"({"prompt": "x", "logprobs": 20})"), 20);
  EXPECT_EQ(num_logprobs(R"({"prompt": "x", "logprobs": null, "echo": true})"), -1);
  EXPECT_EQ(ParamOf(R"({"prompt": "x", "logprobs": 21})"), "logprobs");
  EXPECT_EQ(ParamOf(R"({"prompt": "x", "logprobs": true})"), "logprobs");
  const absl::Status both = Read(R"({"prompt": "x", "logprobs": 0, "echo": true})").status();
  EXPECT_EQ(both.code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(ApiErrorOf(both).param, "logprobs");
}

TEST(CompletionRequestTest, MinTokensAreNoMoreThanTheDefaultOfMaxTokens) {
  EXPECT_TRUE(Read(R"({"prompt": "x", "min_tokens": 16})").ok());
  EXPECT_EQ(ParamOf(R"({"prompt": "x", "min_tokens": 17})"), "min_tokens");
}

}  // namespace
}  // namespace hadal
