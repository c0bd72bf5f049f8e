// Each bound of GenerationLimits: what is just within passes, one more is refused by name.

#include <functional>
#include <string>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <gtest/gtest.h>

#include "server/openai/requests.h"
#include "tests/server/openai/openai_test_support.h"

namespace hadal {
namespace {

constexpr std::string_view kChatBody = R"({"messages": [{"role": "user", "content": "x"}]})";

std::string ListOf(const std::vector<std::string>& items) {
  return absl::StrFormat("[%s]", absl::StrJoin(items, ","));
}

std::string Repeat(int64_t number, const std::string& item) {
  return ListOf(std::vector<std::string>(static_cast<size_t>(number), item));
}

std::string QuotedText(int64_t size) {
  return QuotedLetters(static_cast<size_t>(size));
}

// A tool whose JSON without blanks is `size` bytes long.
std::string ToolOf(int64_t size, int64_t index) {
  const std::string begin =
      absl::StrFormat(R"({"type":"function","function":{"name":"f%05d","description":")", index);
  const std::string end = R"("}})";
  const size_t num_letters = static_cast<size_t>(size) - begin.size() - end.size();
  return absl::StrCat(begin, std::string(num_letters, 'd'), end);
}

// Small bounds, all different, so that none can stand in for another.
GenerationLimits SmallLimits() {
  GenerationLimits limits;
  limits.max_n = 3;
  limits.max_logprobs = 4;
  limits.max_stop_strings = 5;
  limits.max_stop_bytes = 6;
  limits.max_stop_token_ids = 7;
  limits.max_logit_bias = 8;
  limits.max_messages = 9;
  limits.max_content_parts = 10;
  limits.max_tools = 11;
  limits.max_tool_bytes = 400;
  limits.max_tools_bytes = 1000;
  limits.max_prompts = 12;
  limits.max_text_bytes = 13;
  limits.min_priority = 14;
  limits.max_priority = 15;
  limits.max_timeout = std::chrono::seconds(16);
  return limits;
}

void CheckChat(std::string_view name,
               std::string_view param,
               int64_t max,
               const std::function<std::string(int64_t)>& value) {
  const auto read = [&](int64_t number) {
    const std::string body =
        name == "messages" ? With("{}", name, value(number)) : With(kChatBody, name, value(number));
    return ReadChatCall(Json(body), SmallLimits()).status();
  };
  EXPECT_TRUE(read(max).ok()) << name << ": " << read(max);
  const absl::Status refusal = read(max + 1);
  EXPECT_EQ(refusal.code(), absl::StatusCode::kInvalidArgument) << name;
  EXPECT_EQ(ApiErrorOf(refusal).param, param) << refusal;
}

TEST(RequestLimitsTest, OfEveryGeneration) {
  const auto number = [](int64_t value) { return absl::StrFormat("%d", value); };
  CheckChat("n", "n", 3, number);
  CheckChat("stop", "stop", 5, [](int64_t size) { return Repeat(size, "\"s\""); });
  CheckChat("stop", "stop", 6, QuotedText);
  CheckChat("stop", "stop[0]", 6, [](int64_t size) { return ListOf({QuotedText(size)}); });
  CheckChat("stop_token_ids", "stop_token_ids", 7, [](int64_t size) { return Repeat(size, "1"); });
  CheckChat("logit_bias", "logit_bias", 8, [](int64_t size) {
    std::string bias = "{}";
    for (int64_t i = 0; i < size; ++i) {
      bias = With(bias, absl::StrFormat("%d", i), "1");
    }
    return bias;
  });
  for (const char* text : {"model",
                           "user",
                           "safety_identifier",
                           "prompt_cache_key",
                           "prompt_cache_retention",
                           "service_tier",
                           "request_id",
                           "verbosity",
                           "cache_salt"}) {
    CheckChat(text, text, 13, QuotedText);
  }
  CheckChat(
      "metadata", "metadata", 13, [](int64_t size) { return With("{}", "k", QuotedText(size)); });
  CheckChat("priority", "priority", 15, number);
  CheckChat("timeout", "timeout", 16, number);
}

TEST(RequestLimitsTest, ThePriorityHasALowerBoundToo) {
  const auto read = [](const char* priority) {
    return ReadChatCall(Json(With(kChatBody, "priority", priority)), SmallLimits());
  };
  EXPECT_EQ(read("14")->params.priority, 14);
  EXPECT_EQ(ApiErrorOf(read("13").status()).param, "priority");
}

TEST(RequestLimitsTest, OfAConversation) {
  CheckChat("messages", "messages", 9, [](int64_t size) {
    return Repeat(size, R"({"role": "user", "content": "x"})");
  });
  CheckChat("messages", "messages[1].content", 10, [](int64_t size) {
    return ListOf(
        {R"({"role": "system", "content": "s"})",
         With(R"({"role": "user"})", "content", Repeat(size, R"({"type": "text", "text": "x"})"))});
  });
}

TEST(RequestLimitsTest, OfTools) {
  CheckChat("tools", "tools", 11, [](int64_t size) {
    std::vector<std::string> tools;
    for (int64_t i = 0; i < size; ++i) {
      tools.push_back(ToolOf(80, i));
    }
    return ListOf(tools);
  });
  CheckChat("tools", "tools[1]", 400, [](int64_t size) {
    return ListOf({ToolOf(100, 0), ToolOf(size, 1)});
  });
  CheckChat("tools", "tools", 1000, [](int64_t size) {
    return ListOf({ToolOf(400, 0), ToolOf(400, 1), ToolOf(size - 800, 2)});
  });
}

TEST(RequestLimitsTest, ToolsAreCountedWithoutTheBlanks) {
  std::string tool = ToolOf(400, 0);
  tool.insert(1, std::string(1000, ' '));
  const std::string body = With(kChatBody, "tools", ListOf({tool}));
  EXPECT_TRUE(ReadChatCall(Json(body), SmallLimits()).ok());
}

TEST(RequestLimitsTest, ManyBytesOfAToolAreRefusedToo) {
  const std::string body = With(kChatBody, "tools", ListOf({ToolOf(1000000, 0)}));
  EXPECT_EQ(ApiErrorOf(ReadChatCall(Json(body), SmallLimits()).status()).param, "tools[0]");
}

TEST(RequestLimitsTest, OfLogprobs) {
  const auto chat = [](const char* top) {
    const std::string body = With(With(kChatBody, "logprobs", "true"), "top_logprobs", top);
    return ReadChatCall(Json(body), SmallLimits()).status();
  };
  EXPECT_TRUE(chat("4").ok());
  EXPECT_EQ(ApiErrorOf(chat("5")).param, "top_logprobs");
  const auto completion = [](const char* logprobs) {
    return ReadCompletionCall(Json(With(R"({"prompt": "x"})", "logprobs", logprobs)), SmallLimits())
        .status();
  };
  EXPECT_TRUE(completion("4").ok());
  EXPECT_EQ(ApiErrorOf(completion("5")).param, "logprobs");
}

TEST(RequestLimitsTest, OfPrompts) {
  const auto read = [](const std::string& prompt) {
    return ReadCompletionCall(Json(With("{}", "prompt", prompt)), SmallLimits());
  };
  EXPECT_EQ(read(Repeat(12, "\"x\""))->prompts.size(), 12U);
  EXPECT_EQ(ApiErrorOf(read(Repeat(13, "\"x\"")).status()).param, "prompt");
  EXPECT_EQ(read(Repeat(12, "[1]"))->prompts.size(), 12U);
  EXPECT_EQ(ApiErrorOf(read(Repeat(13, "[1]")).status()).param, "prompt");
  EXPECT_EQ(read(Repeat(5000, "1"))->prompts.size(), 1U);  // tokens of one prompt
}

TEST(RequestLimitsTest, OfTokenizeAreThoseOfAConversation) {
  const auto read = [](int64_t num_messages) {
    const std::string messages = Repeat(num_messages, R"({"role": "user", "content": "x"})");
    return ReadTokenizeCall(Json(With("{}", "messages", messages)), SmallLimits()).status();
  };
  EXPECT_TRUE(read(9).ok());
  EXPECT_EQ(ApiErrorOf(read(10)).param, "messages");
}

}  // namespace
}  // namespace hadal
