// Every field of every endpoint against values of every kind: those that are not accepted must be
// refused with the field's name as the error's `param`.

#include "server/openai/request_fields.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/openai/requests.h"
#include "tests/server/openai/openai_test_support.h"

namespace hadal {
namespace {

constexpr std::string_view kChatBody = R"({"messages": [{"role": "user", "content": "x"}]})";
constexpr std::string_view kCompletionBody = R"({"prompt": "x"})";
constexpr std::string_view kTokenizeBody = R"({"prompt": "x"})";
constexpr std::string_view kTokenizeChatBody = kChatBody;
constexpr std::string_view kDetokenizeBody = R"({"tokens": [1]})";

constexpr const char* kValues[] = {"1e309",
                                   "-1",
                                   "-9223372036854775808",
                                   "9223372036854775808",
                                   "18446744073709551616",
                                   "1.5",
                                   "\"1\"",
                                   "true",
                                   "false",
                                   "null",
                                   "[]",
                                   "{}"};

enum class Body : int8_t { kChat, kCompletion, kTokenizeText, kTokenizeChat, kDetokenize };

std::string_view BaseOf(Body body) {
  switch (body) {
    case Body::kChat:
      return kChatBody;
    case Body::kCompletion:
      return kCompletionBody;
    case Body::kTokenizeText:
      return kTokenizeBody;
    case Body::kTokenizeChat:
      return kTokenizeChatBody;
    case Body::kDetokenize:
      break;
  }
  return kDetokenizeBody;
}

absl::Status Read(Body body, std::string_view text) {
  const boost::json::value json = Json(text);
  const GenerationLimits limits;
  switch (body) {
    case Body::kChat:
      return ReadChatCall(json, limits).status();
    case Body::kCompletion:
      return ReadCompletionCall(json, limits).status();
    case Body::kTokenizeText:
    case Body::kTokenizeChat:
      return ReadTokenizeCall(json, limits).status();
    case Body::kDetokenize:
      break;
  }
  return ReadDetokenizeCall(json, limits).status();
}

// `accepted` are the values of kValues that the field takes besides null; `inner` those that are
// refused for a member or item that has the second as its path.
struct FieldCase {
  const char* name;
  std::vector<std::string> accepted;
  std::vector<std::pair<std::string, std::string>> inner = {};
};

void Check(Body body, const std::vector<FieldCase>& fields) {
  for (const FieldCase& field : fields) {
    for (const std::string value : kValues) {
      const std::string text = With(BaseOf(body), field.name, value);
      const absl::Status status = Read(body, text);
      const bool is_accepted =
          value == "null" ||
          std::find(field.accepted.begin(), field.accepted.end(), value) != field.accepted.end();
      if (is_accepted) {
        EXPECT_TRUE(status.ok()) << text << ": " << status;
        continue;
      }
      std::string param = field.name;
      for (const auto& [inner_value, path] : field.inner) {
        param = inner_value == value ? path : param;
      }
      EXPECT_EQ(ApiErrorOf(status).http_status, 400) << text << ": " << status;
      EXPECT_EQ(ApiErrorOf(status).param, param) << text << ": " << status;
    }
  }
}

const std::vector<std::string> kBools = {"true", "false"};

const std::vector<FieldCase>& GenerationFields() {
  static const std::vector<FieldCase> kFields = {
      {"model", {"\"1\""}},
      {"stream", kBools},
      {"temperature", {"1.5"}},
      {"top_p", {}},
      {"top_k", {"-1"}},
      {"min_p", {}},
      {"presence_penalty", {"-1", "1.5"}},
      {"frequency_penalty", {"-1", "1.5"}},
      {"repetition_penalty", {"1.5"}},
      {"logit_bias", {"{}"}},
      {"max_tokens", {}},
      {"min_tokens", {}},
      {"n", {}},
      {"best_of", {}},
      {"seed", {"-1", "-9223372036854775808"}},
      {"stop", {"\"1\"", "[]"}},
      {"stop_token_ids", {"[]"}},
      {"ignore_eos", kBools},
      {"cache_salt", {"\"1\""}},
      {"priority", {}},
      {"timeout", {"1.5"}},
      {"stream_options", {}},
      {"response_format", {}, {{"{}", "response_format.type"}}},
      {"user", {"\"1\""}},
      {"safety_identifier", {"\"1\""}},
      {"prompt_cache_key", {"\"1\""}},
      {"prompt_cache_retention", {"\"1\""}},
      {"service_tier", {"\"1\""}},
      {"request_id", {"\"1\""}},
      {"metadata", {"{}"}},
      {"store", kBools},
      {"spaces_between_special_tokens", kBools},
      {"skip_special_tokens", {"true"}},
      {"include_stop_str_in_output", {"false"}},
      {"no_stop_trim", {"false"}},
      {"use_beam_search", {"false"}},
      {"return_token_ids", {"false"}},
      {"return_tokens_as_token_ids", {"false"}},
      {"return_hidden_states", {"false"}},
      {"length_penalty", {}},
      {"truncate_prompt_tokens", {}},
      {"truncation_side", {}},
      {"prompt_logprobs", {}},
      {"logprob_token_ids", {}},
      {"allowed_token_ids", {}},
      {"bad_words", {}},
      {"logits_processors", {}},
      {"custom_logit_processor", {}},
      {"structured_outputs", {}},
      {"guided_json", {}},
      {"guided_regex", {}},
      {"guided_choice", {}},
      {"guided_grammar", {}},
      {"regex", {}},
      {"ebnf", {}},
      {"json_schema", {}},
      {"stop_regex", {}},
      {"lora_path", {}},
      {"session_params", {}},
      {"kv_transfer_params", {}},
      {"vllm_xargs", {}},
  };
  return kFields;
}

TEST(RequestFieldsTest, OfBothKindsOfGeneration) {
  Check(Body::kChat, GenerationFields());
  Check(Body::kCompletion, GenerationFields());
}

TEST(RequestFieldsTest, OfChatCompletions) {
  Check(Body::kChat,
        {
            {"tools", {"[]"}},
            {"tool_choice", {}},
            {"parallel_tool_calls", kBools},
            {"thinking", kBools, {{"{}", "thinking.type"}}},
            {"reasoning_effort", {}},
            {"chat_template_kwargs", {"{}"}},
            {"logprobs", kBools},
            {"top_logprobs", {}},
            {"max_completion_tokens", {}},
            {"modalities", {}},
            {"verbosity", {"\"1\""}},
            {"prediction", {"{}"}},
            {"include_reasoning", {"true"}},
            {"separate_reasoning", {"true"}},
            {"stream_reasoning", {"true"}},
            {"add_generation_prompt", {"true"}},
            {"continue_final_message", {"false"}},
            {"add_special_tokens", {"false"}},
            {"echo", {"false"}},
            {"audio", {}},
            {"functions", {}},
            {"function_call", {}},
            {"web_search_options", {}},
            {"moderation", {}},
            {"chat_template", {}},
            {"documents", {}},
            {"thinking_token_budget", {}},
            {"mm_processor_kwargs", {}},
            {"media_io_kwargs", {}},
        });
}

TEST(RequestFieldsTest, OfTextCompletions) {
  Check(Body::kCompletion,
        {
            {"suffix", {"\"1\""}},
            {"echo", kBools},
            {"logprobs", {}},
            {"add_special_tokens", {"true"}},
            {"prompt_embeds", {}},
        });
}

TEST(RequestFieldsTest, OfTokenize) {
  Check(Body::kTokenizeText,
        {{"model", {"\"1\""}},
         {"add_special_tokens", kBools},
         {"return_token_strs", kBools},
         {"add_generation_prompt", {"true"}},
         {"continue_final_message", {"false"}},
         {"tools", {}},
         {"tool_choice", {}},
         {"thinking", {}},
         {"reasoning_effort", {}},
         {"chat_template_kwargs", {}},
         {"chat_template", {}},
         {"mm_processor_kwargs", {}},
         {"media_io_kwargs", {}}});
  Check(Body::kTokenizeChat,
        {{"prompt", {}},
         {"add_special_tokens", {"false"}},
         {"return_token_strs", kBools},
         {"tools", {"[]"}},
         {"tool_choice", {}},
         {"thinking", kBools, {{"{}", "thinking.type"}}},
         {"reasoning_effort", {}},
         {"chat_template_kwargs", {"{}"}}});
}

TEST(RequestFieldsTest, OfDetokenize) {
  Check(Body::kDetokenize, {{"model", {"\"1\""}}});
}

// The fields that each body must have, with nothing in their place and with every kind of value.
TEST(RequestFieldsTest, WhatMustBeThere) {
  struct Case {
    Body body;
    const char* name;
    std::vector<std::string> accepted;
  };
  const Case cases[] = {
      {Body::kChat, "messages", {}},
      {Body::kCompletion, "prompt", {"\"1\""}},
      {Body::kTokenizeText, "prompt", {"\"1\""}},
      {Body::kTokenizeChat, "messages", {}},
      {Body::kDetokenize, "tokens", {"[]"}},
  };
  for (const auto& [body, name, accepted] : cases) {
    const std::string missing = body == Body::kTokenizeChat ? "prompt" : name;
    EXPECT_EQ(ApiErrorOf(Read(body, "{}")).param, missing);
    for (const std::string value : kValues) {
      const absl::Status status = Read(body, With("{}", name, value));
      if (std::find(accepted.begin(), accepted.end(), value) != accepted.end()) {
        EXPECT_TRUE(status.ok()) << name << " " << value << ": " << status;
      } else {
        EXPECT_EQ(ApiErrorOf(status).http_status, 400) << name << " " << value;
        EXPECT_EQ(ApiErrorOf(status).param, value == "null" ? missing : name) << value;
      }
    }
  }
}

TEST(RequestFieldsTest, BodiesAreObjects) {
  for (const Body body : {Body::kChat,
                          Body::kCompletion,
                          Body::kTokenizeText,
                          Body::kTokenizeChat,
                          Body::kDetokenize}) {
    for (const std::string value : kValues) {
      const absl::Status status = Read(body, value);
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << value;
      if (value != "{}") {
        EXPECT_THAT(std::string(MessageOf(status)),
                    testing::StartsWith("request body: expected an object"));
      }
    }
  }
}

TEST(RequestFieldsTest, FieldsThatNobodyKnowsAreNamed) {
  const auto error = [](std::string_view key) {
    return ApiErrorOf(Read(Body::kChat, With(kChatBody, key, "null")));
  };
  EXPECT_EQ(error("foo").param, "foo");
  EXPECT_EQ(error("foo").message, "foo: unrecognized field");
  EXPECT_EQ(error("foo").code, "");
  // What cannot be a path is quoted, escaped and cut.
  EXPECT_EQ(error("a b").message, R"(request body: unrecognized field "a b")");
  EXPECT_EQ(error("a b").param, "");
  EXPECT_EQ(error("").message, R"(request body: unrecognized field "")");
  EXPECT_EQ(error("x: y").param, "");
  EXPECT_EQ(error("\\n").message, R"(request body: unrecognized field "\n")");
  EXPECT_EQ(error(std::string(64, 'k')).param, std::string(64, 'k'));
  EXPECT_EQ(error(std::string(65, 'k')).param, "");
  EXPECT_LT(error(std::string(100000, 'k')).message.size(), 120U);
}

// A field of one endpoint is unknown to the others.
TEST(RequestFieldsTest, EachEndpointHasItsOwn) {
  const std::pair<Body, const char*> cases[] = {
      {Body::kChat, "prompt"},
      {Body::kChat, "suffix"},
      {Body::kCompletion, "messages"},
      {Body::kCompletion, "tools"},
      {Body::kCompletion, "top_logprobs"},
      {Body::kCompletion, "max_completion_tokens"},
      {Body::kTokenizeText, "temperature"},
      {Body::kTokenizeChat, "stream"},
      {Body::kDetokenize, "prompt"},
      {Body::kDetokenize, "skip_special_tokens"},
  };
  for (const auto& [body, name] : cases) {
    for (const std::string value : kValues) {
      EXPECT_EQ(std::string(MessageOf(Read(body, With(BaseOf(body), name, value)))),
                std::string(name) + ": unrecognized field");
    }
  }
}

TEST(RequestFieldsTest, UnsupportedFieldsSayWhatIs) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("response_format": {"type": "json_object"})",
       R"(response_format: only {"type": "text"} is supported)"},
      {R"("response_format": {"type": "json_schema", "json_schema": {"name": "n"}})",
       R"(response_format: only {"type": "text"} is supported)"},
      {R"("tool_choice": "required")",
       R"(tool_choice: only "auto" or "none" is supported, found "required")"},
      {R"("tool_choice": {"type": "function", "function": {"name": "f"}})",
       R"(tool_choice: only "auto" or "none" is supported, found an object)"},
      {R"("modalities": ["text", "audio"])", R"(modalities: only ["text"] is supported)"},
      {R"("audio": {"voice": "alloy"})", "audio: not supported"},
      {R"("functions": [])", "functions: not supported"},
      {R"("function_call": "auto")", "function_call: not supported"},
      {R"("web_search_options": {})", "web_search_options: not supported"},
      {R"("chat_template": "{{ messages }}")", "chat_template: not supported"},
      {R"("best_of": 2)", "best_of: only the value of n is supported, found 2"},
      {R"("skip_special_tokens": false)",
       "skip_special_tokens: only true is supported, found false"},
      {R"("stream": true, "stream_options": {"continuous_usage_stats": true})",
       "stream_options.continuous_usage_stats: only false is supported, found true"},
      {R"("tools": [{"type": "function", "function": {"name": "f", "strict": true}}])",
       "tools[0].function.strict: only false is supported, found true"},
  };
  for (const auto& [fields, message] : cases) {
    const std::string body =
        std::string(kChatBody.substr(0, kChatBody.size() - 1)) + ", " + fields + "}";
    const absl::Status status = Read(Body::kChat, body);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << body;
    EXPECT_EQ(std::string(MessageOf(status)), message);
    EXPECT_EQ(ApiErrorOf(status).code, "unsupported_value");
  }
}

TEST(RequestFieldsTest, MetadataHasSmallTexts) {
  const auto read = [](const std::string& metadata) {
    return Read(Body::kChat, With(kChatBody, "metadata", metadata));
  };
  const auto pairs = [](int32_t number) {
    std::string metadata = "{}";
    for (int32_t i = 0; i < number; ++i) {
      metadata = With(metadata, absl::StrFormat("k%d", i), "\"v\"");
    }
    return metadata;
  };
  EXPECT_TRUE(read(pairs(16)).ok());
  EXPECT_EQ(ApiErrorOf(read(pairs(17))).param, "metadata");
  EXPECT_TRUE(read(With("{}", std::string(64, 'k'), "\"v\"")).ok());
  EXPECT_EQ(ApiErrorOf(read(With("{}", std::string(65, 'k'), "\"v\""))).param, "metadata");
  EXPECT_TRUE(read(With("{}", "k", QuotedLetters(512))).ok());
  EXPECT_EQ(ApiErrorOf(read(With("{}", "k", QuotedLetters(513)))).param, "metadata");
  EXPECT_EQ(ApiErrorOf(read(R"({"a: b": 7})")).param, "metadata");
}

}  // namespace
}  // namespace hadal
