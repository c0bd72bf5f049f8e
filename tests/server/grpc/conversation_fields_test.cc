#include "server/grpc/conversation_fields.h"

#include <functional>
#include <string>
#include <vector>

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/text/chat/chat_json.h"
#include "proto/hadal/v1/inference.pb.h"

namespace hadal {
namespace {

using testing::StartsWith;

v1::Message& AddMessage(v1::Role role, const std::string& content, v1::Conversation& conversation) {
  v1::Message& message = *conversation.add_messages();
  message.set_role(role);
  message.set_content(content);
  return message;
}

void AddCall(const std::string& id, const std::string& name, v1::Message& message) {
  v1::ToolCall& call = *message.add_tool_calls();
  call.set_id(id);
  call.set_name(name);
  call.set_arguments("{}");
}

// What the OpenAI codec makes of the same conversation is the measure.
TEST(ConversationFieldsTest, ReadsWhatTheJsonCodecReads) {
  const auto expected = ParseChatRequest(R"({
    "messages": [
      {"role": "system", "content": "Be brief."},
      {"role": "user", "content": "Weather?"},
      {"role": "assistant", "reasoning_content": "Hm.", "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
      {"role": "tool", "tool_call_id": "1", "content": "fine"},
      {"role": "assistant", "content": "It", "prefix": true}],
    "tools": [
      {"type": "function", "function": {"name": "f", "description": "Says \u00e4.",
        "parameters": {"type":"object","properties":{"a":{"type":"string"}},"required":[]}}},
      {"type": "function", "function": {"name": "g"}}],
    "thinking": {"type": "disabled"}})");
  ASSERT_TRUE(expected.ok()) << expected.status();

  v1::Conversation conversation;
  AddMessage(v1::ROLE_SYSTEM, "Be brief.", conversation);
  AddMessage(v1::ROLE_USER, "Weather?", conversation);
  v1::Message& call = *conversation.add_messages();
  call.set_role(v1::ROLE_ASSISTANT);
  call.set_reasoning_content("Hm.");
  AddCall("1", "f", call);
  AddMessage(v1::ROLE_TOOL, "fine", conversation).set_tool_call_id("1");
  AddMessage(v1::ROLE_ASSISTANT, "It", conversation).set_prefix(true);
  v1::Tool& f = *conversation.add_tools();
  f.set_name("f");
  f.set_description("Says ä.");
  f.set_parameters(R"({"type":"object","properties":{"a":{"type":"string"}},"required":[]})");
  conversation.add_tools()->set_name("g");
  conversation.set_thinking(v1::THINKING_DISABLED);
  const auto chat = ReadConversation(conversation, {});
  ASSERT_TRUE(chat.ok()) << chat.status();

  EXPECT_EQ(chat->thinking, expected->thinking);
  ASSERT_EQ(chat->messages.size(), expected->messages.size());
  for (size_t i = 0; i < chat->messages.size(); ++i) {
    const Message& message = chat->messages[i];
    EXPECT_EQ(message.role, expected->messages[i].role);
    EXPECT_EQ(message.content, expected->messages[i].content);
    EXPECT_EQ(message.reasoning_content, expected->messages[i].reasoning_content);
    EXPECT_EQ(message.tool_call_id, expected->messages[i].tool_call_id);
    EXPECT_EQ(message.prefix, expected->messages[i].prefix);
    ASSERT_EQ(message.tool_calls.size(), expected->messages[i].tool_calls.size());
  }
  EXPECT_EQ(chat->messages[2].tool_calls[0].id, "1");
  EXPECT_EQ(chat->messages[2].tool_calls[0].name, "f");
  EXPECT_EQ(chat->messages[2].tool_calls[0].arguments, "{}");
  ASSERT_EQ(chat->tools.size(), expected->tools.size());
  for (size_t i = 0; i < chat->tools.size(); ++i) {
    EXPECT_EQ(chat->tools[i].name, expected->tools[i].name);
    EXPECT_EQ(chat->tools[i].description, expected->tools[i].description);
    EXPECT_EQ(chat->tools[i].parameters, expected->tools[i].parameters);
    EXPECT_EQ(chat->tools[i].function, expected->tools[i].function);
  }
}

struct Refusal {
  std::string message;
  std::function<void(v1::Conversation&)> change;
};

TEST(ConversationFieldsTest, RefusesWhatIsNoConversation) {
  const std::vector<Refusal> refusals = {
      {"conversation.messages: empty", [](auto& c) { c.clear_messages(); }},
      {"conversation.messages[1].role: ", [](auto& c) { c.add_messages()->set_content("x"); }},
      {"conversation.messages[1].role: ",
       [](auto& c) { AddMessage(static_cast<v1::Role>(5), "x", c); }},
      {"conversation.messages[1].content: missing",
       [](auto& c) { c.add_messages()->set_role(v1::ROLE_USER); }},
      {"conversation.messages[1].content: missing",
       [](auto& c) {
         v1::Message& message = *c.add_messages();
         message.set_role(v1::ROLE_ASSISTANT);
         message.set_prefix(true);
       }},
      {"conversation.messages[1]: reasoning_content",
       [](auto& c) { AddMessage(v1::ROLE_USER, "x", c).set_reasoning_content("y"); }},
      {"conversation.messages[1]: reasoning_content",
       [](auto& c) { AddMessage(v1::ROLE_USER, "x", c).set_prefix(true); }},
      {"conversation.messages[1]: reasoning_content",
       [](auto& c) { AddCall("1", "f", AddMessage(v1::ROLE_SYSTEM, "x", c)); }},
      {"conversation.messages[1].tool_call_id: only",
       [](auto& c) { AddMessage(v1::ROLE_USER, "x", c).set_tool_call_id("1"); }},
      {"conversation.messages[1].tool_call_id: no call",
       [](auto& c) { AddMessage(v1::ROLE_TOOL, "x", c).set_tool_call_id("1"); }},
      {"conversation.messages[1].tool_call_id: no call",
       [](auto& c) { AddMessage(v1::ROLE_TOOL, "x", c); }},
      {"conversation.messages[1].prefix: not beside",
       [](auto& c) {
         v1::Message& message = AddMessage(v1::ROLE_ASSISTANT, "x", c);
         message.set_prefix(true);
         AddCall("1", "f", message);
       }},
      {"conversation.messages[1].prefix: only on the last",
       [](auto& c) {
         AddMessage(v1::ROLE_ASSISTANT, "x", c).set_prefix(true);
         AddMessage(v1::ROLE_USER, "x", c);
       }},
      {"conversation.messages[1].tool_calls.name: empty",
       [](auto& c) { AddCall("1", "", AddMessage(v1::ROLE_ASSISTANT, "x", c)); }},
      {"conversation.tools[0].name: empty", [](auto& c) { c.add_tools(); }},
      {"conversation.tools[1].name: another",
       [](auto& c) {
         c.add_tools()->set_name("f");
         c.add_tools()->set_name("f");
       }},
      {"conversation.tools[0].parameters: ",
       [](auto& c) {
         c.add_tools()->set_name("f");
         c.mutable_tools(0)->set_parameters("{");
       }},
      {"conversation.tools[0].parameters: expected a JSON object",
       [](auto& c) {
         c.add_tools()->set_name("f");
         c.mutable_tools(0)->set_parameters("[]");
       }},
      {"conversation.thinking: ", [](auto& c) { c.set_thinking(static_cast<v1::Thinking>(3)); }},
  };
  for (const Refusal& refusal : refusals) {
    v1::Conversation conversation;
    AddMessage(v1::ROLE_USER, "hi", conversation);
    ASSERT_TRUE(ReadConversation(conversation, {}).ok());
    refusal.change(conversation);
    const absl::Status status = ReadConversation(conversation, {}).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << refusal.message;
    EXPECT_THAT(std::string(status.message()), StartsWith(refusal.message));
  }
}

TEST(ConversationFieldsTest, ContentMayBeEmptyButIsNotAbsent) {
  v1::Conversation conversation;
  AddMessage(v1::ROLE_USER, "", conversation);
  EXPECT_TRUE(ReadConversation(conversation, {}).ok());
  v1::Message& message = *conversation.add_messages();
  message.set_role(v1::ROLE_ASSISTANT);
  EXPECT_FALSE(ReadConversation(conversation, {}).ok());
  message.set_prefix(true);
  message.set_reasoning_content("so");
  EXPECT_TRUE(ReadConversation(conversation, {}).ok());
}

TEST(ConversationFieldsTest, HoldsSizesToTheirLimits) {
  const auto status_of = [](int32_t num_messages, int32_t num_tools, size_t tool_bytes) {
    v1::Conversation conversation;
    for (int32_t i = 0; i < num_messages; ++i) {
      AddMessage(v1::ROLE_USER, "x", conversation);
    }
    for (int32_t i = 0; i < num_tools; ++i) {
      v1::Tool& tool = *conversation.add_tools();
      tool.set_name(absl::StrCat("f", i));
      tool.set_description(std::string(tool_bytes, 'x'));
      while (tool.ByteSizeLong() > tool_bytes) {
        tool.mutable_description()->pop_back();
      }
      EXPECT_EQ(tool.ByteSizeLong(), tool_bytes);
    }
    return ReadConversation(conversation, {}).status();
  };
  EXPECT_TRUE(status_of(2048, 0, 0).ok());
  EXPECT_THAT(std::string(status_of(2049, 0, 0).message()), StartsWith("conversation.messages: "));
  EXPECT_TRUE(status_of(1, 128, 100).ok());
  EXPECT_THAT(std::string(status_of(1, 129, 100).message()), StartsWith("conversation.tools: "));
  EXPECT_TRUE(status_of(1, 1, 64 << 10).ok());
  EXPECT_THAT(std::string(status_of(1, 1, (64 << 10) + 1).message()),
              StartsWith("conversation.tools[0]: "));
  EXPECT_TRUE(status_of(1, 4, 64 << 10).ok());
  EXPECT_THAT(std::string(status_of(1, 5, 60 << 10).message()), StartsWith("conversation.tools: "));
}

}  // namespace
}  // namespace hadal
