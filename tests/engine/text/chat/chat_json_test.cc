#include "engine/text/chat/chat_json.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hadal {
namespace {

using testing::HasSubstr;

TEST(ChatJsonTest, ReadsAWholeConversation) {
  const absl::StatusOr<ChatRequest> request = ParseChatRequest(R"({
    "model": "any", "temperature": 0.5, "thinking": {"type": "enabled"},
    "messages": [
      {"role": "system", "content": "S"},
      {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
      {"role": "assistant", "content": null, "reasoning_content": "R",
       "tool_calls": [{"id": "1", "type": "function",
                       "function": {"name": "f", "arguments": "{\"x\": 1}"}}]},
      {"role": "tool", "tool_call_id": "1", "content": "result"},
      {"role": "assistant", "content": "go", "prefix": true}],
    "tools": [
      {"type": "function",
       "function": {"name": "f", "description": "D", "parameters": {"type":"object"}}},
      {"type": "function", "function": {"name": "g"}}]})");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->thinking, Thinking::kEnabled);
  ASSERT_EQ(request->messages.size(), 5U);
  EXPECT_EQ(request->messages[0].role, Role::kSystem);
  EXPECT_EQ(request->messages[1].content, "ab");
  const Message& call = request->messages[2];
  EXPECT_EQ(call.content, "");
  EXPECT_EQ(call.reasoning_content, "R");
  ASSERT_EQ(call.tool_calls.size(), 1U);
  EXPECT_EQ(call.tool_calls[0].id, "1");
  EXPECT_EQ(call.tool_calls[0].name, "f");
  EXPECT_EQ(call.tool_calls[0].arguments, "{\"x\": 1}");
  EXPECT_EQ(request->messages[3].role, Role::kTool);
  EXPECT_EQ(request->messages[3].tool_call_id, "1");
  EXPECT_FALSE(request->messages[3].prefix);
  EXPECT_TRUE(request->messages[4].prefix);
  ASSERT_EQ(request->tools.size(), 2U);
  EXPECT_EQ(request->tools[0].description, "D");
  EXPECT_EQ(request->tools[0].parameters, R"({"type": "object"})");
  EXPECT_EQ(request->tools[1].parameters, "{}");
  EXPECT_EQ(request->tools[1].function, "{\n    \"name\": \"g\"\n}");
}

TEST(ChatJsonTest, TakesABareArrayOfMessages) {
  const absl::StatusOr<ChatRequest> request =
      ParseChatRequest(R"([{"role": "user", "content": "x"}])");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->messages[0].content, "x");
  EXPECT_EQ(request->thinking, Thinking::kDefault);
}

TEST(ChatJsonTest, ThinkingIsABoolOrAnObject) {
  const auto thinking = [](const std::string& value) {
    return ParseChatRequest(R"({"messages": [{"role": "user", "content": ""}], "thinking": )" +
                            value + "}")
        ->thinking;
  };
  EXPECT_EQ(thinking("true"), Thinking::kEnabled);
  EXPECT_EQ(thinking("false"), Thinking::kDisabled);
  EXPECT_EQ(thinking("null"), Thinking::kDefault);
  EXPECT_EQ(thinking(R"({"type": "disabled"})"), Thinking::kDisabled);
}

TEST(ChatJsonTest, EmptyAndNullOptionsCountAsAbsent) {
  const absl::StatusOr<ChatRequest> request = ParseChatRequest(
      R"({"tools": null, "messages": [{"role": "assistant", "content": "c", "tool_calls": [],
          "reasoning_content": null, "prefix": false}]})");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_TRUE(request->messages[0].tool_calls.empty());
}

// Each body is {"messages": [USER, <message>]} with the field at fault in <message>.
TEST(ChatJsonTest, RefusesMessagesAndNamesTheField) {
  const std::pair<const char*, const char*> refusals[] = {
      {R"(3)", "messages[1]: expected an object"},
      {R"({"content": "x"})", "messages[1].role: expected"},
      {R"({"role": "function", "content": "x"})", "messages[1].role: unknown role \"function\""},
      {R"({"role": "a\nb", "content": "x"})", "messages[1].role: unknown role \"a\\nb\""},
      {R"({"role": "user", "content": "x", "mood": null})", "messages[1].mood: unrecognized field"},
      {R"({"role": "user", "content": "x", "a b": 1})", "messages[1]: unrecognized field \"a b\""},
      {R"({"role": "user", "content": "x", "name": 1})", "messages[1].name: expected a string"},
      {R"({"role": "assistant", "content": "x", "annotations": {}})",
       "messages[1].annotations: expected an array"},
      {R"({"role": "user", "content": [{"type": "text", "text": "x", "cache": 1}]})",
       "messages[1].content[0].cache: unrecognized field"},
      {R"({"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "extra": 1,
           "function": {"name": "f", "arguments": "{}"}}]})",
       "messages[1].tool_calls[0].extra: unrecognized field"},
      {R"({"role": "assistant", "tool_calls": [{"id": "1", "type": "function",
           "function": {"name": "f", "arguments": "{}", "extra": 1}}]})",
       "messages[1].tool_calls[0].function.extra: unrecognized field"},
      {R"({"role": 1, "content": "x"})", "messages[1].role: expected a string"},
      {R"({"role": "user"})", "messages[1].content: expected"},
      {R"({"role": "user", "content": null})", "messages[1].content: expected"},
      {R"({"role": "assistant", "content": null})", "messages[1].content: expected"},
      {R"({"role": "assistant", "tool_calls": []})", "messages[1].content: expected"},
      {R"({"role": "user", "content": 7})", "messages[1].content: expected a string or"},
      {R"({"role": "user", "content": ["x"]})", "messages[1].content[0]: expected an object"},
      {R"({"role": "user", "content": [{"type": "image_url"}]})", "messages[1].content[0].type"},
      {R"({"role": "user", "content": [{"type": "text"}]})",
       "messages[1].content[0].text: expected"},
      {R"({"role": "user", "content": "x", "prefix": true})", "messages[1].prefix: only for"},
      {R"({"role": "user", "content": "x", "tool_calls": []})", "messages[1].tool_calls: only for"},
      {R"({"role": "system", "content": "x", "reasoning_content": "r"})",
       "messages[1].reasoning_content: only for"},
      {R"({"role": "user", "content": "x", "tool_call_id": "1"})",
       "messages[1].tool_call_id: only for"},
      {R"({"role": "tool", "content": "x"})", "messages[1].tool_call_id: expected"},
      {R"({"role": "tool", "content": "x", "tool_call_id": "9"})",
       "messages[1].tool_call_id: no call before"},
      {R"({"role": "assistant", "content": "x", "reasoning_content": 1})",
       "messages[1].reasoning_content: expected a string"},
      {R"({"role": "assistant", "content": "x", "prefix": "yes"})",
       "messages[1].prefix: expected true or false"},
      {R"({"role": "assistant", "tool_calls": {}})", "messages[1].tool_calls: expected an array"},
      {R"({"role": "assistant", "tool_calls": [{"type": "function"}]})",
       "messages[1].tool_calls[0].id: expected"},
      {R"({"role": "assistant", "tool_calls": [{"id": "1", "type": "retrieval"}]})",
       "messages[1].tool_calls[0].type: \"retrieval\""},
      {R"({"role": "assistant", "tool_calls": [{"id": "1", "type": "function"}]})",
       "messages[1].tool_calls[0].function: expected"},
      {R"({"role": "assistant", "tool_calls": [{"id": "1", "type": "function",
           "function": {"name": "", "arguments": ""}}]})",
       "messages[1].tool_calls[0].function.name: empty"},
      {R"({"role": "assistant", "tool_calls": [{"id": "1", "type": "function",
           "function": {"name": "f", "arguments": {}}}]})",
       "messages[1].tool_calls[0].function.arguments: expected a string"},
      {R"({"role": "assistant", "prefix": true, "tool_calls": [{"id": "1", "type": "function",
           "function": {"name": "f", "arguments": "{}"}}]})",
       "messages[1].prefix: not beside tool_calls"},
      {R"({"role": "assistant", "content": "a", "prefix": true}, {"role": "user", "content": "b"})",
       "messages[1].prefix: only on the last"},
  };
  for (const auto& [message, names] : refusals) {
    const absl::Status status = ParseChatRequest(std::string(R"({"messages": [
        {"role": "user", "content": "x"}, )") + message +
                                                 "]}")
                                    .status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << message;
    EXPECT_THAT(std::string(status.message()), HasSubstr(names));
  }
}

// Each body is {"messages": [USER], <fields>}.
TEST(ChatJsonTest, RefusesOtherFieldsAndNamesThem) {
  const std::pair<const char*, const char*> refusals[] = {
      {R"("tools": {})", "tools: expected an array"},
      {R"("tools": [1])", "tools[0]: expected an object"},
      {R"("tools": [{"type": "x"}])", "tools[0].type"},
      {R"("tools": [{"type": "function", "function": 1}])", "tools[0].function: expected"},
      {R"("tools": [{"type": "function", "function": {}}])", "tools[0].function.name: expected"},
      {R"("tools": [{"type": "function", "function": {"name": "f", "description": 1}}])",
       "tools[0].function.description"},
      {R"("tools": [{"type": "function", "function": {"name": "f", "parameters": []}}])",
       "tools[0].function.parameters"},
      {R"("tools": [{"type": "function", "function": {"name": "f"}},
                    {"type": "function", "function": {"name": "f"}}])",
       "tools[1].function.name: \"f\" occurs twice"},
      {R"("tools": [{"type": "function", "function": {"name": "f"}, "extra": 1}])",
       "tools[0].extra: unrecognized field"},
      {R"("tools": [{"type": "function", "function": {"name": "f", "extra": 1}}])",
       "tools[0].function.extra: unrecognized field"},
      {R"("tools": [{"type": "function", "function": {"name": "f", "strict": 1}}])",
       "tools[0].function.strict: expected true or false"},
      {R"("thinking": {"type": "enabled", "budget": 1})", "thinking.budget: unrecognized field"},
      {R"("thinking": "yes")", "thinking: expected"},
      {R"("thinking": {})", "thinking.type: expected"},
      {R"("thinking": {"type": "auto"})", "thinking.type: \"auto\""},
  };
  for (const auto& [fields, names] : refusals) {
    const absl::Status status =
        ParseChatRequest(std::string(R"({"messages": [{"role": "user", "content": "x"}], )") +
                         fields + "}")
            .status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << fields;
    EXPECT_THAT(std::string(status.message()), HasSubstr(names));
  }
  for (const char* body : {"", "1", "{}", "[]", R"({"messages": []})", R"({"messages": "x"})"}) {
    EXPECT_EQ(ParseChatRequest(body).status().code(), absl::StatusCode::kInvalidArgument) << body;
  }
}

// What openai-python writes when an answer is put back into the conversation.
TEST(ChatJsonTest, AnswersCanBeSentBack) {
  const absl::StatusOr<ChatRequest> request = ParseChatRequest(R"([
      {"role": "developer", "content": "S", "name": null},
      {"role": "user", "content": "x", "name": "Ann"},
      {"role": "assistant", "content": null, "refusal": null, "annotations": [], "audio": null,
       "function_call": null, "tool_calls": [{"index": 0, "id": "1", "type": "function",
                                              "function": {"name": "f", "arguments": "{}"}}]},
      {"role": "tool", "tool_call_id": "1", "name": "f", "content": "result"}])");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->messages[0].role, Role::kSystem);
  EXPECT_EQ(request->messages[1].content, "x");
  EXPECT_EQ(request->messages[2].tool_calls.size(), 1U);
}

TEST(ChatJsonTest, WhatIsNotSupportedSaysSo) {
  const std::pair<const char*, const char*> refusals[] = {
      {R"([{"role": "assistant", "content": "x", "refusal": "no"}])",
       "messages[0].refusal: only null is supported"},
      {R"([{"role": "assistant", "content": "x", "audio": {"id": "1"}}])",
       "messages[0].audio: only null is supported"},
      {R"([{"role": "assistant", "content": "x", "function_call": {"name": "f"}}])",
       "messages[0].function_call: only null is supported"},
      {R"({"messages": [{"role": "user", "content": "x"}],
           "tools": [{"type": "function", "function": {"name": "f", "strict": true}}]})",
       "tools[0].function.strict: only false is supported"},
  };
  for (const auto& [body, message] : refusals) {
    const absl::Status status = ParseChatRequest(body).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << body;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  }
}

TEST(ChatJsonTest, WhatMessagesEchoIsBounded) {
  const std::string long_text(100000, 'x');
  for (const std::string& body :
       {R"([{"content": "", "role": ")" + long_text + "\"}]",
        R"([{"content": "", "role": "tool", "tool_call_id": ")" + long_text + "\"}]",
        R"([{"role": "user", "content": [{"type": ")" + long_text + "\"}]}]",
        R"([{"role": "user", "content": "", ")" + long_text + "\": 1}]"}) {
    const absl::Status status = ParseChatRequest(body).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_LT(status.message().size(), 200U);
  }
}

TEST(ChatJsonTest, AReasoningPrefixNeedsNoContent) {
  const absl::StatusOr<ChatRequest> request = ParseChatRequest(
      R"([{"role": "assistant", "content": null, "reasoning_content": "r", "prefix": true}])");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->messages[0].reasoning_content, "r");
}

}  // namespace
}  // namespace hadal
