#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/json/value.hpp>

#include "base/check.h"
#include "base/json.h"
#include "server/generation/generation_event.h"
#include "server/openai/answer_json.h"
#include "server/openai/api_error.h"

namespace hadal {

/// `text` as JSON; the test is wrong when it is none.
inline boost::json::value Json(std::string_view text) {
  auto value = ParseJson(text);
  CHECK_EQ(value.status(), absl::OkStatus());
  return *std::move(value);
}

/// The text of a JSON string.
inline std::string StringOf(const boost::json::value& value) {
  CHECK(value.is_string());
  return {value.get_string().data(), value.get_string().size()};
}

/// A JSON string of `number` letters.
inline std::string QuotedLetters(size_t number) {
  return absl::StrFormat("\"%s\"", std::string(number, 'v'));
}

/// `body`, an object as text, with `"key": value` added; `key` must not be in it.
inline std::string With(std::string_view body, std::string_view key, std::string_view value) {
  const size_t end = body.rfind('}');
  return absl::StrFormat(
      "%s%s\"%s\": %s}", body.substr(0, end), body[end - 1] == '{' ? "" : ", ", key, value);
}

/// The data of each server-sent event; every event must be `data: …` and an empty line.
inline std::vector<std::string> EventsOf(std::string_view stream) {
  std::vector<std::string> events;
  while (!stream.empty()) {
    CHECK_EQ(stream.substr(0, 6), "data: ");
    const size_t end = stream.find("\n\n");
    CHECK_NE(end, std::string_view::npos);
    events.emplace_back(stream.substr(6, end - 6));
    stream.remove_prefix(end + 2);
  }
  return events;
}

inline AnswerHead TestHead() {
  return {.id = "answer-1", .created = 1700000000, .model = "m", .system_fingerprint = "fp"};
}

inline AnswerDelta Reasoning(std::string text) {
  return {.kind = AnswerDelta::Kind::kReasoning, .text = std::move(text)};
}
inline AnswerDelta Content(std::string text) {
  return {.kind = AnswerDelta::Kind::kContent, .text = std::move(text)};
}
inline AnswerDelta ToolCallBegin(int32_t index, std::string name) {
  return {.kind = AnswerDelta::Kind::kToolCall, .text = std::move(name), .call_index = index};
}
inline AnswerDelta Arguments(int32_t index, std::string text) {
  return {.kind = AnswerDelta::Kind::kArguments, .text = std::move(text), .call_index = index};
}
inline AnswerDelta ToolCallEnd(int32_t index) {
  return {.kind = AnswerDelta::Kind::kToolCallEnd, .text = "", .call_index = index};
}
inline AnswerDelta ToolCallCutOff(int32_t index) {
  return {.kind = AnswerDelta::Kind::kToolCallCutOff, .text = "", .call_index = index};
}

inline ChoiceDelta Delta(int32_t choice, std::vector<AnswerDelta> parts) {
  ChoiceDelta delta;
  delta.choice = choice;
  delta.parts = std::move(parts);
  return delta;
}

/// The last delta of a choice.
inline ChoiceDelta Last(int32_t choice, std::vector<AnswerDelta> parts, FinishReason finish) {
  ChoiceDelta delta = Delta(choice, std::move(parts));
  delta.finish = finish;
  return delta;
}

/// `delta` with the logprobs of its tokens.
inline ChoiceDelta Beside(std::vector<ContentLogprob> logprobs, ChoiceDelta delta) {
  delta.logprobs = std::move(logprobs);
  return delta;
}

inline Usage UsageOf(int64_t prompt_tokens, int64_t completion_tokens) {
  Usage usage;
  usage.prompt_tokens = prompt_tokens;
  usage.completion_tokens = completion_tokens;
  return usage;
}

}  // namespace hadal
