#include "server/grpc/text_calls.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/grpc/test_grpc_server.h"

namespace hadal {
namespace {

using testing::ElementsAreArray;
using testing::StartsWith;

grpc::Status Tokenize(TestGrpcServer& server,
                      const v1::TokenizeRequest& request,
                      v1::TokenizeResponse& response) {
  grpc::ClientContext context;
  return server.stub->Tokenize(&context, request, &response);
}

grpc::Status Detokenize(TestGrpcServer& server,
                        const v1::DetokenizeRequest& request,
                        v1::DetokenizeResponse& response) {
  grpc::ClientContext context;
  return server.stub->Detokenize(&context, request, &response);
}

TEST(TextCallsTest, TokenizesText) {
  TestGrpcServer server({});
  v1::TokenizeRequest request;
  request.set_text("Hällo, world!");
  request.set_return_pieces(true);
  v1::TokenizeResponse response;
  ASSERT_TRUE(Tokenize(server, request, response).ok());
  EXPECT_THAT(response.tokens(),
              ElementsAreArray(server.model.EncodeText("Hällo, world!")->tokens));
  EXPECT_EQ(response.max_tokens(), 512);
  std::string text;
  for (int i = 1; i < response.pieces_size(); ++i) {
    text += response.pieces(i);
  }
  EXPECT_EQ(text, "Hällo, world!");
  request.set_add_special_tokens(false);
  request.set_return_pieces(false);
  ASSERT_TRUE(Tokenize(server, request, response).ok());
  EXPECT_THAT(response.tokens(), ElementsAreArray(TokensOf("Hällo, world!")));
  EXPECT_EQ(response.pieces_size(), 0);
}

TEST(TextCallsTest, TokenizesWhatAConversationBecomes) {
  TestGrpcServer server({});
  v1::TokenizeRequest request;
  *request.mutable_conversation() = UserRequest("hello").conversation();
  v1::TokenizeResponse response;
  ASSERT_TRUE(Tokenize(server, request, response).ok());
  const auto prompt =
      server.model.EncodeChat({.messages = {{.role = Role::kUser, .content = "hello"}}});
  EXPECT_THAT(response.tokens(), ElementsAreArray(prompt->tokens));
}

TEST(TextCallsTest, RefusesWhatCannotBeTokenized) {
  TestGrpcServer server({});
  v1::TokenizeRequest request;
  v1::TokenizeResponse response;
  grpc::Status status = Tokenize(server, request, response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), StartsWith("input: "));
  request.set_text("x");
  request.set_model("another");
  EXPECT_EQ(Tokenize(server, request, response).error_code(), grpc::StatusCode::NOT_FOUND);
  request.clear_model();
  request.set_text(std::string(1 << 20, 'x'));
  EXPECT_EQ(Tokenize(server, request, response).error_code(), grpc::StatusCode::OUT_OF_RANGE);
  *request.mutable_conversation() = UserRequest("x").conversation();
  EXPECT_TRUE(Tokenize(server, request, response).ok());
  request.set_add_special_tokens(true);
  status = Tokenize(server, request, response);
  EXPECT_THAT(status.error_message(), StartsWith("add_special_tokens: "));
}

TEST(TextCallsTest, DetokenizesTokens) {
  TestGrpcServer server({});
  v1::DetokenizeRequest request;
  const std::vector<TokenId> tokens = server.model.EncodeText("Hällo, world!")->tokens;
  request.mutable_tokens()->Add(tokens.begin(), tokens.end());
  v1::DetokenizeResponse response;
  ASSERT_TRUE(Detokenize(server, request, response).ok());
  EXPECT_EQ(response.text(), "<｜begin▁of▁sentence｜>Hällo, world!");
}

TEST(TextCallsTest, DetokenizesNoMoreThanTheContextHolds) {
  TestGrpcServer server({});
  v1::DetokenizeRequest request;
  v1::DetokenizeResponse response;
  request.mutable_tokens()->Resize(512, 5);
  EXPECT_TRUE(Detokenize(server, request, response).ok());
  request.add_tokens(5);
  EXPECT_EQ(Detokenize(server, request, response).error_code(), grpc::StatusCode::OUT_OF_RANGE);
  request.mutable_tokens()->Resize(1, 5);
  request.set_tokens(0, 129'280);
  EXPECT_EQ(Detokenize(server, request, response).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  request.set_tokens(0, -1);
  EXPECT_EQ(Detokenize(server, request, response).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  request.set_tokens(0, 5);
  request.set_model("another");
  EXPECT_EQ(Detokenize(server, request, response).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST(TextCallsTest, CancelNeedsAnId) {
  TestGrpcServer server({});
  grpc::ClientContext context;
  v1::CancelResponse response;
  EXPECT_EQ(server.stub->Cancel(&context, {}, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST(TextCallsTest, TellsHowBusyTheServerIs) {
  TestGrpcServer server({});
  const auto load = [&server] {
    grpc::ClientContext context;
    v1::GetLoadResponse response;
    EXPECT_TRUE(server.stub->GetLoad(&context, {}, &response).ok());
    return response;
  };
  v1::GetLoadResponse idle = load();
  EXPECT_TRUE(idle.serving());
  EXPECT_EQ(idle.held().requests(), 0);
  EXPECT_EQ(idle.limits().requests(), 16);
  EXPECT_EQ(idle.limits().prompt_tokens(), 2000);
  EXPECT_EQ(idle.retry_after_seconds(), 1);

  server.executor.AllowSteps(3);
  v1::GenerateRequest request = TextRequest(100);
  request.mutable_params()->set_n(2);
  grpc::ClientContext context;
  const auto reader = server.stub->Generate(&context, request);
  server.executor.AwaitHeldStep();
  const v1::GetLoadResponse busy = load();
  EXPECT_EQ(busy.held().requests(), 2);
  EXPECT_EQ(busy.running_sequences(), 2);
  EXPECT_EQ(busy.waiting_requests(), 0);
  EXPECT_EQ(busy.total_cache_blocks(), 64);
  EXPECT_GT(busy.cache_usage(), 0);
  EXPECT_LT(busy.cache_usage(), 0.1);
  server.executor.AllowAllSteps();
  EXPECT_TRUE(ReadAnswer(*reader).status.ok());
  server.health.SetPhase(ServerPhase::kDraining);
  EXPECT_FALSE(load().serving());
}

}  // namespace
}  // namespace hadal
