#include "server/openai/chat_request.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/openai/requests.h"
#include "tests/server/openai/openai_test_support.h"

namespace hadal {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

constexpr std::string_view kBody = R"({"messages": [{"role": "user", "content": "x"}]})";

absl::StatusOr<ChatCall> Read(std::string_view body) {
  return ReadChatCall(Json(body), GenerationLimits{});
}

// The call of kBody with `fields` beside its messages.
absl::StatusOr<ChatCall> ReadWith(std::string_view fields) {
  return Read(absl::StrFormat("%s, %s}", kBody.substr(0, kBody.size() - 1), fields));
}

std::string ParamOf(std::string_view fields) {
  return ApiErrorOf(ReadWith(fields).status()).param;
}

TEST(ChatRequestTest, DefaultsAreThoseOfTheApi) {
  const auto call = Read(kBody);
  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_EQ(call->model, "");
  EXPECT_EQ(call->chat.messages.size(), 1U);
  EXPECT_EQ(call->chat.thinking, Thinking::kDefault);
  const GenerationParams& params = call->params;
  EXPECT_EQ(params.sampling.temperature, 1);
  EXPECT_EQ(params.sampling.top_p, 1);
  EXPECT_EQ(params.sampling.top_k, 0);
  EXPECT_EQ(params.sampling.min_p, 0);
  EXPECT_EQ(params.sampling.presence_penalty, 0);
  EXPECT_EQ(params.sampling.frequency_penalty, 0);
  EXPECT_EQ(params.sampling.repetition_penalty, 1);
  EXPECT_EQ(params.sampling.num_logprobs, -1);
  EXPECT_THAT(params.sampling.logit_bias, IsEmpty());
  EXPECT_EQ(params.seed, std::nullopt);
  EXPECT_EQ(params.max_tokens, std::nullopt);
  EXPECT_EQ(params.min_tokens, 0);
  EXPECT_EQ(params.n, 1);
  EXPECT_THAT(params.stop, IsEmpty());
  EXPECT_THAT(params.stop_token_ids, IsEmpty());
  EXPECT_FALSE(params.ignore_eos);
  EXPECT_TRUE(params.parallel_tool_calls);
  EXPECT_EQ(params.cache_salt, "");
  EXPECT_EQ(params.priority, 0);
  EXPECT_EQ(params.timeout, std::nullopt);
  EXPECT_EQ(params.target_tpot, Duration::zero());
  EXPECT_FALSE(call->delivery.stream);
  EXPECT_FALSE(call->delivery.include_usage);
  EXPECT_FALSE(call->delivery.include_obfuscation);
}

TEST(ChatRequestTest, ReadsEveryFieldThatCounts) {
  const auto call = ReadWith(R"(
      "model": "deepseek", "temperature": 0.5, "top_p": 0.25, "top_k": 40, "min_p": 0.125,
      "presence_penalty": -2, "frequency_penalty": 1.5, "repetition_penalty": 1.25, "seed": 7,
      "max_completion_tokens": 100, "min_tokens": 3, "n": 8, "best_of": 8, "stop": ["a", "b"],
      "stop_token_ids": [5, 0], "ignore_eos": true, "parallel_tool_calls": false,
      "cache_salt": "salt", "priority": 9, "timeout": 2.5, "target_tpot_ms": 0.25,
      "logprobs": true, "top_logprobs": 20,
      "logit_bias": {"10": -100, "9": 0.5, "0": 100}, "stream": true,
      "stream_options": {"include_usage": true, "include_obfuscation": true},
      "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto",
      "thinking": {"type": "enabled"}, "response_format": {"type": "text"},
      "modalities": ["text"])");
  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_EQ(call->model, "deepseek");
  const GenerationParams& params = call->params;
  EXPECT_EQ(params.sampling.temperature, 0.5F);
  EXPECT_EQ(params.sampling.top_p, 0.25F);
  EXPECT_EQ(params.sampling.top_k, 40);
  EXPECT_EQ(params.sampling.min_p, 0.125F);
  EXPECT_EQ(params.sampling.presence_penalty, -2);
  EXPECT_EQ(params.sampling.frequency_penalty, 1.5F);
  EXPECT_EQ(params.sampling.repetition_penalty, 1.25F);
  EXPECT_EQ(params.sampling.num_logprobs, 20);
  EXPECT_THAT(params.sampling.logit_bias,
              ElementsAre(Pair(0, 100.0F), Pair(9, 0.5F), Pair(10, -100.0F)));
  EXPECT_EQ(params.seed, 7U);
  EXPECT_EQ(params.max_tokens, 100);
  EXPECT_EQ(params.min_tokens, 3);
  EXPECT_EQ(params.n, 8);
  EXPECT_THAT(params.stop, ElementsAre("a", "b"));
  EXPECT_THAT(params.stop_token_ids, ElementsAre(5, 0));
  EXPECT_TRUE(params.ignore_eos);
  EXPECT_FALSE(params.parallel_tool_calls);
  EXPECT_EQ(params.cache_salt, "salt");
  EXPECT_EQ(params.priority, 9);
  EXPECT_EQ(params.timeout, std::chrono::milliseconds(2500));
  EXPECT_EQ(params.target_tpot, std::chrono::microseconds(250));
  EXPECT_TRUE(call->delivery.stream);
  EXPECT_TRUE(call->delivery.include_usage);
  EXPECT_TRUE(call->delivery.include_obfuscation);
  EXPECT_EQ(call->chat.tools.size(), 1U);
  EXPECT_EQ(call->chat.thinking, Thinking::kEnabled);
}

TEST(ChatRequestTest, WhatSamplersTakeIsAlwaysValid) {
  const auto call = ReadWith(R"("top_p": 0, "temperature": 1e-300, "top_k": -1)");
  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_TRUE(ValidateSamplingParams(call->params.sampling, 1).ok());
  EXPECT_EQ(call->params.sampling.temperature, 0);
  EXPECT_EQ(call->params.sampling.top_k, 0);
  EXPECT_GT(call->params.sampling.top_p, 0);
}

TEST(ChatRequestTest, NumbersAreHeldToTheirRanges) {
  const auto accepts = [](const char* fields) {
    const auto call = ReadWith(fields);
    EXPECT_TRUE(call.ok()) << fields << ": " << call.status();
  };
  for (const char* fields : {R"("temperature": 0)",
                             R"("temperature": 2)",
                             R"("top_p": 1)",
                             R"("min_p": 1)",
                             R"("presence_penalty": 2)",
                             R"("frequency_penalty": -2)",
                             R"("repetition_penalty": 100)",
                             R"("priority": 1000)",
                             R"("timeout": 600)",
                             R"("timeout": 0.001)",
                             R"("target_tpot_ms": 60000)",
                             R"("max_tokens": 1)",
                             R"("max_tokens": 2147483647)",
                             R"("min_tokens": 0)",
                             R"("stop_token_ids": [2147483647])",
                             R"("logit_bias": {"2147483647": 100, "0": -100})"}) {
    accepts(fields);
  }
  for (const char* name : {"temperature", "presence_penalty", "frequency_penalty"}) {
    EXPECT_EQ(ParamOf(absl::StrFormat("\"%s\": 2.0001", name)), name);
    EXPECT_EQ(ParamOf(absl::StrFormat("\"%s\": -2.0001", name)), name);
  }
  EXPECT_EQ(ParamOf(R"("temperature": -0.001)"), "temperature");
  EXPECT_EQ(ParamOf(R"("top_p": 1.001)"), "top_p");
  EXPECT_EQ(ParamOf(R"("min_p": 1.001)"), "min_p");
  EXPECT_EQ(ParamOf(R"("repetition_penalty": 0)"), "repetition_penalty");
  EXPECT_EQ(ParamOf(R"("repetition_penalty": 100.1)"), "repetition_penalty");
  EXPECT_EQ(ParamOf(R"("top_k": -2)"), "top_k");
  EXPECT_EQ(ParamOf(R"("top_k": 2147483648)"), "top_k");
  EXPECT_EQ(ParamOf(R"("priority": 1001)"), "priority");
  EXPECT_EQ(ParamOf(R"("timeout": 600.1)"), "timeout");
  EXPECT_EQ(ParamOf(R"("timeout": 0)"), "timeout");
  EXPECT_EQ(ParamOf(R"("target_tpot_ms": 0)"), "target_tpot_ms");
  EXPECT_EQ(ParamOf(R"("target_tpot_ms": 60001)"), "target_tpot_ms");
  EXPECT_EQ(ParamOf(R"("n": 0)"), "n");
  EXPECT_EQ(ParamOf(R"("max_tokens": 0)"), "max_tokens");
  EXPECT_EQ(ParamOf(R"("max_tokens": 2147483648)"), "max_tokens");
  EXPECT_EQ(ParamOf(R"("max_completion_tokens": 0)"), "max_completion_tokens");
  EXPECT_EQ(ParamOf(R"("min_tokens": 2147483648)"), "min_tokens");
  EXPECT_EQ(ParamOf(R"("stop_token_ids": [1, -1])"), "stop_token_ids[1]");
  EXPECT_EQ(ParamOf(R"("stop_token_ids": [2147483648])"), "stop_token_ids[0]");
  EXPECT_EQ(ParamOf(R"("stop_token_ids": [1.0])"), "stop_token_ids[0]");
  EXPECT_EQ(ParamOf(R"("best_of": 2, "n": 3)"), "best_of");
}

TEST(ChatRequestTest, ASeedIsTakenBitForBit) {
  const std::pair<const char*, uint64_t> seeds[] = {{"0", 0},
                                                    {"-1", ~uint64_t{0}},
                                                    {"9223372036854775807", 0x7FFFFFFFFFFFFFFFU},
                                                    {"-9223372036854775808", 0x8000000000000000U}};
  for (const auto& [text, seed] : seeds) {
    const auto call = ReadWith(absl::StrFormat("\"seed\": %s", text));
    ASSERT_TRUE(call.ok()) << call.status();
    EXPECT_EQ(call->params.seed, seed);
  }
}

TEST(ChatRequestTest, MaxCompletionTokensWins) {
  EXPECT_EQ(ReadWith(R"("max_tokens": 5)")->params.max_tokens, 5);
  EXPECT_EQ(ReadWith(R"("max_tokens": 5, "max_completion_tokens": 7)")->params.max_tokens, 7);
  EXPECT_EQ(ReadWith(R"("max_tokens": 5, "max_completion_tokens": null)")->params.max_tokens, 5);
  EXPECT_EQ(ParamOf(R"("max_tokens": 0, "max_completion_tokens": 7)"), "max_tokens");
  EXPECT_TRUE(ReadWith(R"("max_tokens": 5, "min_tokens": 5)").ok());
  EXPECT_EQ(ParamOf(R"("max_tokens": 5, "min_tokens": 6)"), "min_tokens");
}

TEST(ChatRequestTest, StopsAreNotEmpty) {
  EXPECT_THAT(ReadWith(R"("stop": "end")")->params.stop, ElementsAre("end"));
  EXPECT_EQ(ParamOf(R"("stop": "")"), "stop");
  EXPECT_EQ(ParamOf(R"("stop": ["a", ""])"), "stop[1]");
  EXPECT_EQ(ParamOf(R"("stop": ["a", 1])"), "stop[1]");
}

TEST(ChatRequestTest, LogitBiasIsByTokenId) {
  for (const char* key : {"a",
                          "",
                          "-1",
                          "+1",
                          "01",
                          "00",
                          " 1",
                          "1 ",
                          "1.0",
                          "1e3",
                          "2147483648",
                          "18446744073709551617"}) {
    EXPECT_EQ(ParamOf(absl::StrFormat(R"("logit_bias": {"%s": 1})", key)), "logit_bias") << key;
  }
  EXPECT_EQ(ParamOf(R"("logit_bias": {"7": 100.5})"), "logit_bias.7");
  EXPECT_EQ(ParamOf(R"("logit_bias": {"7": "1"})"), "logit_bias.7");
  EXPECT_EQ(ParamOf(R"("logit_bias": {"7": null})"), "logit_bias.7");
}

TEST(ChatRequestTest, TopLogprobsNeedLogprobs) {
  EXPECT_EQ(ReadWith(R"("logprobs": true)")->params.sampling.num_logprobs, 0);
  EXPECT_EQ(ReadWith(R"("logprobs": false)")->params.sampling.num_logprobs, -1);
  EXPECT_EQ(ReadWith(R"("top_logprobs": 0)")->params.sampling.num_logprobs, -1);
  EXPECT_EQ(ParamOf(R"("top_logprobs": 1)"), "top_logprobs");
  EXPECT_EQ(ParamOf(R"("logprobs": false, "top_logprobs": 1)"), "top_logprobs");
  EXPECT_EQ(ParamOf(R"("logprobs": true, "top_logprobs": 21)"), "top_logprobs");
}

TEST(ChatRequestTest, StreamOptionsNeedAStream) {
  EXPECT_TRUE(ReadWith(R"("stream": true, "stream_options": {})").ok());
  EXPECT_TRUE(ReadWith(R"("stream": false, "stream_options": null)").ok());
  EXPECT_EQ(ParamOf(R"("stream_options": {"include_usage": true})"), "stream_options");
  EXPECT_EQ(ParamOf(R"("stream": true, "stream_options": {"include_usage": 1})"),
            "stream_options.include_usage");
  EXPECT_EQ(ParamOf(R"("stream": true, "stream_options": {"include_obfuscation": "no"})"),
            "stream_options.include_obfuscation");
  EXPECT_EQ(ParamOf(R"("stream": true, "stream_options": {"other": true})"),
            "stream_options.other");
}

TEST(ChatRequestTest, WhetherToThinkIsSaidInThreeWays) {
  const auto thinking = [](const char* fields) {
    const auto call = ReadWith(fields);
    EXPECT_TRUE(call.ok()) << call.status();
    return call.ok() ? call->chat.thinking : Thinking::kDefault;
  };
  EXPECT_EQ(thinking(R"("thinking": {"type": "disabled"})"), Thinking::kDisabled);
  EXPECT_EQ(thinking(R"("chat_template_kwargs": {"thinking": true})"), Thinking::kEnabled);
  EXPECT_EQ(thinking(R"("chat_template_kwargs": {"enable_thinking": false})"), Thinking::kDisabled);
  EXPECT_EQ(thinking(R"("chat_template_kwargs": {"thinking": true, "enable_thinking": true})"),
            Thinking::kEnabled);
  EXPECT_EQ(thinking(R"("reasoning_effort": "none")"), Thinking::kDisabled);
  for (const char* effort : {"minimal", "low", "medium", "high", "max", "xhigh"}) {
    EXPECT_EQ(thinking(absl::StrFormat("\"reasoning_effort\": \"%s\"", effort).c_str()),
              Thinking::kDefault);
  }
  EXPECT_EQ(thinking(R"("reasoning_effort": "high", "thinking": false)"), Thinking::kDisabled);
  EXPECT_EQ(ParamOf(R"("reasoning_effort": "some")"), "reasoning_effort");
  EXPECT_EQ(ParamOf(R"("reasoning_effort": "none", "thinking": true)"), "reasoning_effort");
  EXPECT_EQ(ParamOf(R"("thinking": true, "chat_template_kwargs": {"thinking": false})"),
            "chat_template_kwargs.thinking");
  EXPECT_EQ(ParamOf(R"("chat_template_kwargs": {"thinking": "yes"})"),
            "chat_template_kwargs.thinking");
  EXPECT_EQ(ParamOf(R"("chat_template_kwargs": {"tokenize": true})"),
            "chat_template_kwargs.tokenize");
}

TEST(ChatRequestTest, ToolChoiceNoneLeavesTheToolsOut) {
  constexpr std::string_view kTools =
      R"("tools": [{"type": "function", "function": {"name": "f"}}])";
  const auto tools = [&kTools](std::string_view choice) {
    const auto call = ReadWith(absl::StrFormat("%s, \"tool_choice\": %s", kTools, choice));
    EXPECT_TRUE(call.ok()) << call.status();
    return call.ok() ? call->chat.tools.size() : 99;
  };
  EXPECT_EQ(tools("null"), 1U);
  EXPECT_EQ(tools("\"auto\""), 1U);
  EXPECT_EQ(tools("\"none\""), 0U);
}

TEST(ChatRequestTest, ModalitiesAreText) {
  EXPECT_EQ(ParamOf(R"("modalities": [])"), "modalities");
  EXPECT_EQ(ParamOf(R"("modalities": ["text", "text"])"), "modalities");
  EXPECT_EQ(ParamOf(R"("modalities": ["audio"])"), "modalities");
  EXPECT_EQ(ParamOf(R"("modalities": [1])"), "modalities[0]");
}

TEST(ChatRequestTest, ResponseFormatHasNothingElse) {
  EXPECT_EQ(ParamOf(R"("response_format": {"type": "text", "schema": {}})"),
            "response_format.schema");
}

TEST(ChatRequestTest, WhatHasNoEffectChangesNothing) {
  const auto call = ReadWith(R"(
      "user": "u", "safety_identifier": "s", "metadata": {"a": "b"}, "store": true,
      "service_tier": "auto", "prompt_cache_key": "k", "prompt_cache_retention": "24h",
      "verbosity": "low", "prediction": {"type": "content", "content": "x"}, "request_id": "r",
      "spaces_between_special_tokens": true, "skip_special_tokens": true,
      "add_generation_prompt": true, "continue_final_message": false, "include_reasoning": true)");
  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_EQ(call->params.cache_salt, "");
  EXPECT_EQ(call->params.priority, 0);
  EXPECT_EQ(call->chat.messages.size(), 1U);
}

TEST(ChatRequestTest, MessagesAreReadByTheirOwnReader) {
  EXPECT_EQ(ApiErrorOf(Read(R"({"messages": [{"role": "user", "content": 1}]})").status()).param,
            "messages[0].content");
  EXPECT_EQ(Read(R"({"messages": [{"role": "developer", "content": "x"}]})")->chat.messages[0].role,
            Role::kSystem);
  EXPECT_EQ(ApiErrorOf(Read(R"({"messages": [{"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}]})")
                           .status())
                .param,
            "messages[0].content[0].type");
}

}  // namespace
}  // namespace hadal
