// Chat, over a connection.

#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/grpc/test_grpc_server.h"

namespace hadal {
namespace {

using testing::StartsWith;

// Text, in which names of added tokens stand for themselves.
std::vector<TokenId> Script(const std::vector<std::string>& parts) {
  std::vector<TokenId> script;
  for (const std::string& part : parts) {
    if (const auto id = TestTokenizer().FindAddedToken(part)) {
      script.push_back(*id);
      continue;
    }
    const std::vector<TokenId> tokens = TokensOf(part);
    script.insert(script.end(), tokens.begin(), tokens.end());
  }
  return script;
}

constexpr const char* kEnd = "<｜end▁of▁sentence｜>";

std::vector<TokenId> TwoCalls() {
  return Script({"Let me see.",
                 "<｜tool▁calls▁begin｜>",
                 "<｜tool▁call▁begin｜>",
                 "get_weather",
                 "<｜tool▁sep｜>",
                 "{\"city\": \"Paris\"}",
                 "<｜tool▁call▁end｜>",
                 "<｜tool▁call▁begin｜>",
                 "get_time",
                 "<｜tool▁sep｜>",
                 "{}",
                 "<｜tool▁call▁end｜>",
                 "<｜tool▁calls▁end｜>",
                 kEnd});
}

v1::ChatRequest ToolRequest() {
  v1::ChatRequest request = UserRequest("What's the weather in Paris?");
  for (const char* name : {"get_weather", "get_time"}) {
    v1::Tool& tool = *request.mutable_conversation()->add_tools();
    tool.set_name(name);
    tool.set_description("Says it.");
    tool.set_parameters(R"({"type": "object", "properties": {"city": {"type": "string"}}})");
  }
  return request;
}

TEST(ChatCallTest, AnswersAUser) {
  TestGrpcServer server({});
  server.executor.SetScript(Script({"Hello! How are you?", kEnd}));
  const WholeAnswer answer = Chat(server, UserRequest("hi"));
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  ASSERT_EQ(answer.choices.size(), 1U);
  EXPECT_EQ(answer.choices[0].content, "Hello! How are you?");
  EXPECT_EQ(answer.choices[0].reasoning, "");
  EXPECT_EQ(answer.choices[0].finish, v1::FINISH_REASON_STOP);
  EXPECT_EQ(answer.usage->reasoning_tokens(), 0);
  EXPECT_TRUE(server.DrainsToNothing());
  EXPECT_EQ(server.Metric("hadal_requests_total",
                          {{"route", "grpc_chat"}, {"code", "200"}, {"finish_reason", "stop"}}),
            1);
}

TEST(ChatCallTest, ThinksWhenAskedTo) {
  TestGrpcServer server({});
  server.executor.SetScript(Script({"The user greets me.", "</think>", "Hello!", kEnd}));
  v1::ChatRequest request = UserRequest("hi");
  request.mutable_conversation()->set_thinking(v1::THINKING_ENABLED);
  const WholeAnswer answer = Chat(server, request);
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  EXPECT_EQ(answer.choices.at(0).reasoning, "The user greets me.");
  EXPECT_EQ(answer.choices.at(0).content, "Hello!");
  EXPECT_GT(answer.usage->reasoning_tokens(), 3);
}

TEST(ChatCallTest, CallsTools) {
  TestGrpcServer server({});
  server.executor.SetScript(TwoCalls());
  const WholeAnswer answer = Chat(server, ToolRequest());
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  const WholeAnswer::Choice& choice = answer.choices.at(0);
  EXPECT_EQ(choice.content, "Let me see.");
  EXPECT_EQ(choice.finish, v1::FINISH_REASON_TOOL_CALLS);
  ASSERT_EQ(choice.calls.size(), 2U);
  EXPECT_EQ(choice.calls[0].name, "get_weather");
  EXPECT_EQ(choice.calls[0].arguments, "{\"city\": \"Paris\"}");
  EXPECT_TRUE(choice.calls[0].complete);
  EXPECT_EQ(choice.calls[1].name, "get_time");
  EXPECT_TRUE(choice.calls[1].complete);
  EXPECT_THAT(choice.calls[0].id, StartsWith("call_"));
  EXPECT_NE(choice.calls[0].id, choice.calls[1].id);

  // What was said goes back with the results.
  v1::ChatRequest next = ToolRequest();
  v1::Conversation& conversation = *next.mutable_conversation();
  conversation.add_messages()->set_role(v1::ROLE_ASSISTANT);
  for (const auto& call : choice.calls) {
    v1::ToolCall& tool_call = *conversation.mutable_messages(1)->add_tool_calls();
    tool_call.set_id(call.id);
    tool_call.set_name(call.name);
    tool_call.set_arguments(call.arguments);
    v1::Message& result = *conversation.add_messages();
    result.set_role(v1::ROLE_TOOL);
    result.set_tool_call_id(call.id);
    result.set_content("fine");
  }
  server.executor.SetScript(Script({"Fine.", kEnd}));
  const WholeAnswer last = Chat(server, next);
  EXPECT_TRUE(last.status.ok()) << last.status.error_message();
}

TEST(ChatCallTest, EndsWithTheFirstToolCallWhenOneIsAllowed) {
  TestGrpcServer server({});
  server.executor.SetScript(TwoCalls());
  v1::ChatRequest request = ToolRequest();
  request.set_parallel_tool_calls(false);
  const WholeAnswer answer = Chat(server, request);
  ASSERT_EQ(answer.choices.at(0).calls.size(), 1U);
  EXPECT_TRUE(answer.choices[0].calls[0].complete);
  EXPECT_EQ(answer.choices[0].finish, v1::FINISH_REASON_TOOL_CALLS);
}

TEST(ChatCallTest, ACallThatBreaksOffIsNotComplete) {
  TestGrpcServer server({});
  server.executor.SetScript(TwoCalls());
  v1::ChatRequest request = ToolRequest();
  request.mutable_params()->set_max_tokens(std::ssize(Script({"Let me see.",
                                                              "<｜tool▁calls▁begin｜>",
                                                              "<｜tool▁call▁begin｜>",
                                                              "get_weather",
                                                              "<｜tool▁sep｜>"})) +
                                           2);
  const WholeAnswer answer = Chat(server, request);
  ASSERT_EQ(answer.choices.at(0).calls.size(), 1U);
  EXPECT_FALSE(answer.choices[0].calls[0].complete);
  EXPECT_EQ(answer.choices[0].finish, v1::FINISH_REASON_LENGTH);
}

TEST(ChatCallTest, RefusesWhatIsNoConversation) {
  TestGrpcServer server({});
  EXPECT_THAT(Chat(server, {}).status.error_message(), StartsWith("conversation.messages: empty"));
  v1::ChatRequest request = UserRequest("hi");
  request.mutable_params()->set_top_p(2);
  EXPECT_THAT(Chat(server, request).status.error_message(), StartsWith("params.top_p: "));
  request = UserRequest(std::string(1 << 20, 'x'));
  EXPECT_EQ(Chat(server, request).status.error_code(), grpc::StatusCode::OUT_OF_RANGE);
  EXPECT_TRUE(server.DrainsToNothing());
}

}  // namespace
}  // namespace hadal
