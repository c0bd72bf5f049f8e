// Generate, over a connection.

#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/text/stream_decoder.h"
#include "tests/server/grpc/test_grpc_server.h"

namespace hadal {
namespace {

using testing::StartsWith;

// What the simulated model says to the text of TextRequest.
std::string ExpectedText(const TestGrpcServer& server, int64_t num_tokens) {
  std::vector<TokenId> tokens = server.model.EncodeText("once upon a time")->tokens;
  const auto num_prompt_tokens = std::ssize(tokens);
  const SamplingParams sampling = {.seed = 1};
  for (int64_t i = 0; i < num_tokens; ++i) {
    tokens.push_back(SimulatedExecutor::NextToken(tokens, sampling, 100'000));
  }
  tokens.erase(tokens.begin(), tokens.begin() + num_prompt_tokens);
  return Decode(TestTokenizer(), tokens, SpecialTokens::kHide);
}

TEST(GenerateCallTest, StreamsTheTextThenTheUsage) {
  TestGrpcServer server({});
  const WholeAnswer answer = Generate(server, TextRequest(20));
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  ASSERT_EQ(answer.choices.size(), 1U);
  EXPECT_EQ(answer.choices[0].content, ExpectedText(server, 20));
  EXPECT_EQ(answer.choices[0].reasoning, "");
  EXPECT_EQ(answer.choices[0].finish, v1::FINISH_REASON_LENGTH);
  ASSERT_TRUE(answer.usage.has_value());
  EXPECT_EQ(answer.usage->prompt_tokens(), std::ssize(TokensOf("once upon a time")) + 1);
  EXPECT_EQ(answer.usage->completion_tokens(), 20);
  EXPECT_TRUE(server.DrainsToNothing());
  EXPECT_EQ(
      server.Metric("hadal_requests_total",
                    {{"route", "grpc_generate"}, {"code", "200"}, {"finish_reason", "length"}}),
      1);
  EXPECT_EQ(server.Metric("hadal_streams_open", {}), 0);
}

TEST(GenerateCallTest, TokensAreTakenAsTheyAre) {
  TestGrpcServer server({});
  v1::GenerateRequest request = TextRequest(20);
  const std::string text = Generate(server, request).choices.at(0).content;
  const std::vector<TokenId> tokens = server.model.EncodeText("once upon a time")->tokens;
  request.mutable_tokens()->mutable_ids()->Add(tokens.begin(), tokens.end());
  EXPECT_EQ(Generate(server, request).choices.at(0).content, text);
}

TEST(GenerateCallTest, FillsInTheMiddle) {
  TestGrpcServer server({});
  v1::GenerateRequest request = TextRequest(5);
  request.mutable_fill_in_the_middle()->set_prefix("def f(");
  request.mutable_fill_in_the_middle()->set_suffix("): pass");
  const WholeAnswer answer = Generate(server, request);
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  const auto prompt = server.model.EncodeFill("def f(", "): pass");
  ASSERT_TRUE(prompt.ok());
  EXPECT_EQ(answer.usage->prompt_tokens(), std::ssize(prompt->tokens));
}

TEST(GenerateCallTest, ChoicesAreApart) {
  TestGrpcServer server({});
  v1::GenerateRequest request = TextRequest(10);
  request.mutable_params()->set_n(3);
  const WholeAnswer answer = Generate(server, request);
  ASSERT_EQ(answer.choices.size(), 3U);
  EXPECT_EQ(answer.choices[0].content, ExpectedText(server, 10));
  EXPECT_NE(answer.choices[0].content, answer.choices[1].content);
  EXPECT_NE(answer.choices[1].content, answer.choices[2].content);
  for (const auto& choice : answer.choices) {
    EXPECT_EQ(choice.finish, v1::FINISH_REASON_LENGTH);
  }
  EXPECT_EQ(answer.usage->completion_tokens(), 30);
}

TEST(GenerateCallTest, EndsBeforeAStopString) {
  TestGrpcServer server({});
  server.executor.SetScript(TokensOf("one two three four five six"));
  v1::GenerateRequest request = TextRequest(100);
  request.mutable_params()->add_stop(" three fo");
  const WholeAnswer answer = Generate(server, request);
  ASSERT_TRUE(answer.status.ok());
  EXPECT_EQ(answer.choices.at(0).content, "one two");
  EXPECT_EQ(answer.choices.at(0).finish, v1::FINISH_REASON_STOP);
  EXPECT_LT(answer.usage->completion_tokens(), 10);
}

TEST(GenerateCallTest, GivesTheLogprobsOfItsTokens) {
  TestGrpcServer server({});
  const std::vector<TokenId> script = TokensOf("one two three");
  server.executor.SetScript(script);
  v1::GenerateRequest request = TextRequest(std::ssize(script));
  request.mutable_params()->set_logprobs(2);
  const WholeAnswer answer = Generate(server, request);
  const auto& logprobs = answer.choices.at(0).logprobs;
  ASSERT_EQ(logprobs.size(), script.size());
  std::string text;
  for (size_t i = 0; i < script.size(); ++i) {
    EXPECT_EQ(logprobs[i].chosen().token(), script[i]);
    EXPECT_LE(logprobs[i].chosen().logprob(), 0);
    EXPECT_EQ(logprobs[i].top_size(), 2);
    text += logprobs[i].chosen().text();
  }
  EXPECT_EQ(text, "one two three");
  EXPECT_EQ(answer.choices.at(0).content, text);
}

TEST(GenerateCallTest, SaysItsRequestIdAtOnce) {
  TestGrpcServer server({});
  const auto id_of = [&server](const std::string& field, const std::string& metadata) {
    grpc::ClientContext context;
    if (!metadata.empty()) {
      context.AddMetadata("x-request-id", metadata);
    }
    v1::GenerateRequest request = TextRequest(1);
    request.set_request_id(field);
    ReadAnswer(*server.stub->Generate(&context, request));
    const auto& initial = context.GetServerInitialMetadata();
    const auto found = initial.find("x-request-id");
    return found == initial.end() ? std::string()
                                  : std::string(found->second.data(), found->second.size());
  };
  EXPECT_EQ(id_of("mine-1", ""), "mine-1");
  EXPECT_EQ(id_of("mine-2", "theirs"), "mine-2");
  EXPECT_EQ(id_of("", "theirs"), "theirs");
  EXPECT_EQ(id_of("", "not an id").size(), 24U);
  EXPECT_NE(id_of("", ""), id_of("", ""));
}

struct Refusal {
  std::string what;
  std::function<void(v1::GenerateRequest&)> change;
  grpc::StatusCode code;
  std::string message;
};

TEST(GenerateCallTest, RefusesWhatItCannotDo) {
  TestGrpcServer server({});
  const std::vector<Refusal> refusals = {
      {"no prompt",
       [](auto& r) { r.clear_prompt(); },
       grpc::StatusCode::INVALID_ARGUMENT,
       "prompt: expected"},
      {"no tokens",
       [](auto& r) { r.mutable_tokens(); },
       grpc::StatusCode::INVALID_ARGUMENT,
       "prompt: expected at least one token"},
      {"a foreign token",
       [](auto& r) { r.mutable_tokens()->add_ids(-1); },
       grpc::StatusCode::INVALID_ARGUMENT,
       "prompt: token -1"},
      {"another model",
       [](auto& r) { r.set_model("gpt"); },
       grpc::StatusCode::NOT_FOUND,
       "model: "},
      {"a number out of range",
       [](auto& r) { r.mutable_params()->set_temperature(-1); },
       grpc::StatusCode::INVALID_ARGUMENT,
       "params.temperature: "},
      {"an odd id",
       [](auto& r) { r.set_request_id("a b"); },
       grpc::StatusCode::INVALID_ARGUMENT,
       "request_id: "},
      {"a long id",
       [](auto& r) { r.set_request_id(std::string(65, 'a')); },
       grpc::StatusCode::INVALID_ARGUMENT,
       "request_id: "},
      {"more than the context",
       [](auto& r) { r.mutable_params()->set_max_tokens(512); },
       grpc::StatusCode::OUT_OF_RANGE,
       "prompt: this model's context"},
      {"a bias of a token that is none",
       [](auto& r) { r.mutable_params()->add_logit_bias()->set_token(2'000'000); },
       grpc::StatusCode::INVALID_ARGUMENT,
       "logit_bias"},
  };
  for (const Refusal& refusal : refusals) {
    SCOPED_TRACE(refusal.what);
    v1::GenerateRequest request = TextRequest(1);
    refusal.change(request);
    const WholeAnswer answer = Generate(server, request);
    EXPECT_EQ(answer.status.error_code(), refusal.code);
    EXPECT_THAT(answer.status.error_message(), StartsWith(refusal.message));
    EXPECT_EQ(answer.num_messages, 0);
  }
  EXPECT_TRUE(Generate(server, TextRequest(1)).status.ok());
  EXPECT_TRUE(server.DrainsToNothing());
  EXPECT_EQ(server.executor.num_steps(), 1);
}

TEST(GenerateCallTest, WhatFailsInsideIsNotToldToClients) {
  TestGrpcServer server({});
  server.executor.FailNextStep();
  const WholeAnswer answer = Generate(server, TextRequest(5));
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(answer.status.error_message(), "internal error");
  EXPECT_TRUE(Generate(server, TextRequest(5)).status.ok());
}

}  // namespace
}  // namespace hadal
