#include <array>
#include <utility>

#include "base/check.h"
#include "engine/text/answer/answer.h"
#include "server/openai/json_text.h"
#include "server/openai/responses.h"

namespace hadal {
namespace {

using Kind = AnswerDelta::Kind;

constexpr std::string_view kRoleDelta = R"("role":"assistant","content":"")";

// The finaliser of splitmix64: each bit of the result hangs on all bits of `x`.
uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31U);
}

// "call_" and 24 letters and digits that are always the same for one call of one answer, so that
// chunks and whole responses agree without keeping ids.
void AppendCallId(std::string_view answer_id, int32_t choice, int32_t call, std::string& json) {
  constexpr std::string_view kAlphabet =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  uint64_t state = 0xCBF29CE484222325U;  // FNV-1a
  for (const char byte : answer_id) {
    state = (state ^ static_cast<uint8_t>(byte)) * 0x100000001B3U;
  }
  const uint64_t position =
      (uint64_t{static_cast<uint32_t>(choice)} << 32U) | static_cast<uint32_t>(call);
  state = Mix(state + Mix(position + 1));
  json.append("call_");
  for (int32_t word = 0; word < 3; ++word) {
    state += 0x9E3779B97F4A7C15U;
    uint64_t bits = Mix(state);
    for (int32_t i = 0; i < 8; ++i) {
      json.push_back(kAlphabet[bits % kAlphabet.size()]);
      bits /= kAlphabet.size();
    }
  }
}

// What stands beside a delta or message: items are those that AppendChatLogprobs wrote.
template <typename AppendItems>
void AppendLogprobsField(bool with_logprobs, const AppendItems& append_items, std::string& json) {
  if (!with_logprobs) {
    json.append(R"(,"logprobs":null,"finish_reason":)");
    return;
  }
  json.append(R"(,"logprobs":{"content":[)");
  append_items();
  json.append(R"(],"refusal":null},"finish_reason":)");
}

// One choice of a whole response.
struct WholeChoice {
  Answer answer;
  std::vector<const ChoiceDelta*> deltas;
  std::optional<FinishReason> finish;
};

std::vector<WholeChoice> Collect(std::span<const ChoiceDelta> deltas) {
  std::vector<WholeChoice> choices;
  for (const ChoiceDelta& delta : deltas) {
    CHECK_GE(delta.choice, 0);
    const auto index = static_cast<size_t>(delta.choice);
    if (index >= choices.size()) {
      choices.resize(index + 1);
    }
    WholeChoice& choice = choices[index];
    choice.deltas.push_back(&delta);
    for (const AnswerDelta& part : delta.parts) {
      AppendDelta(part, choice.answer);
    }
    if (delta.finish) {
      choice.finish = delta.finish;
    }
  }
  return choices;
}

void AppendToolCalls(const std::vector<AnswerCall>& calls,
                     std::string_view answer_id,
                     int32_t choice,
                     std::string& json) {
  json.append(R"(,"tool_calls":[)");
  for (size_t i = 0; i < calls.size(); ++i) {
    json.append(i == 0 ? R"({"id":")" : R"(,{"id":")");
    AppendCallId(answer_id, choice, static_cast<int32_t>(i), json);
    json.append(R"(","type":"function","function":{"name":)");
    AppendJsonString(calls[i].name, json);
    json.append(R"(,"arguments":)");
    AppendJsonString(calls[i].arguments, json);
    json.append("}}");
  }
  json.push_back(']');
}

// Returns whether a call is complete.
Calls AppendMessage(const Answer& answer,
                    std::string_view answer_id,
                    int32_t choice,
                    std::string& json) {
  json.append(R"("message":{"role":"assistant","content":)");
  if (answer.content.empty() && !answer.tool_calls.empty()) {
    json.append("null");
  } else {
    AppendJsonString(answer.content, json);
  }
  json.append(R"(,"refusal":null)");
  if (!answer.reasoning_content.empty()) {
    json.append(R"(,"reasoning_content":)");
    AppendJsonString(answer.reasoning_content, json);
  }
  if (!answer.tool_calls.empty()) {
    AppendToolCalls(answer.tool_calls, answer_id, choice, json);
  }
  json.push_back('}');
  for (const AnswerCall& call : answer.tool_calls) {
    if (call.complete) {
      return Calls::kMade;
    }
  }
  return Calls::kNone;
}

}  // namespace

ChatChunkWriter::ChatChunkWriter(const AnswerHead& head,
                                 const Delivery& delivery,
                                 bool with_logprobs)
    : id_(head.id),
      frame_(head, "chat.completion.chunk", delivery),
      with_logprobs_(with_logprobs) {}

void ChatChunkWriter::Append(const ChoiceDelta& delta, std::string& events) {
  std::span<const ContentLogprob> logprobs;  // not written yet
  if (with_logprobs_) {
    logprobs = delta.logprobs;
  }
  if (delta.parts.empty() && logprobs.empty() && !delta.finish) {
    return;
  }
  Choice& choice = Begin(delta.choice, events);
  for (const AnswerDelta& part : delta.parts) {
    if (part.kind == Kind::kContent) {
      AppendPart(delta.choice, part, std::exchange(logprobs, {}), events);
    } else if (part.kind == Kind::kToolCallEnd) {
      choice.calls = Calls::kMade;
    } else if (part.kind != Kind::kToolCallCutOff) {
      AppendPart(delta.choice, part, {}, events);
    }
  }
  if (!logprobs.empty()) {  // of tokens whose text is held back or incomplete
    AppendPart(delta.choice, {.kind = Kind::kContent, .text = ""}, logprobs, events);
  }
  if (delta.finish) {
    const size_t begin = Open(delta.choice, events);
    events.append(R"(},"logprobs":null,"finish_reason":)");
    AppendFinishReason(delta.finish, choice.calls, events);
    events.push_back('}');
    frame_.End(begin, events);
  }
}

void ChatChunkWriter::AppendEnd(const Usage& usage, std::string& events) {
  frame_.AppendEnd(usage, events);
}

// The state of a choice, whose role has been told.
ChatChunkWriter::Choice& ChatChunkWriter::Begin(int32_t index, std::string& events) {
  CHECK_GE(index, 0);
  if (static_cast<size_t>(index) >= choices_.size()) {
    choices_.resize(static_cast<size_t>(index) + 1);
  }
  Choice& choice = choices_[static_cast<size_t>(index)];
  if (!choice.begun) {
    choice.begun = true;
    const size_t begin = Open(index, events);
    events.append(kRoleDelta);
    Close(begin, {}, events);
  }
  return choice;
}

void ChatChunkWriter::AppendPart(int32_t choice,
                                 const AnswerDelta& part,
                                 std::span<const ContentLogprob> logprobs,
                                 std::string& events) {
  const size_t begin = Open(choice, events);
  if (part.kind == Kind::kContent) {
    events.append(R"("content":")");
    AppendJsonEscaped(part.text, events);
    events.push_back('"');
  } else if (part.kind == Kind::kReasoning) {
    events.append(R"("reasoning_content":")");
    AppendJsonEscaped(part.text, events);
    events.append(R"(","content":null)");
  } else {
    events.append(R"("tool_calls":[{"index":)");
    AppendJsonNumber(int64_t{part.call_index}, events);
    if (part.kind == Kind::kToolCall) {
      events.append(R"(,"id":")");
      AppendCallId(id_, choice, part.call_index, events);
      events.append(R"(","type":"function","function":{"name":")");
      AppendJsonEscaped(part.text, events);
      events.append(R"(","arguments":""}}])");
    } else {
      events.append(R"(,"function":{"arguments":")");
      AppendJsonEscaped(part.text, events);
      events.append(R"("}}])");
    }
  }
  Close(begin, logprobs, events);
}

// Writes up to the delta's first member.
size_t ChatChunkWriter::Open(int32_t choice, std::string& events) {
  const size_t begin = frame_.Begin(events);
  events.append(R"({"index":)");
  AppendJsonNumber(int64_t{choice}, events);
  events.append(R"(,"delta":{)");
  return begin;
}

// Writes what stands behind the delta's last member, of a choice that goes on.
void ChatChunkWriter::Close(size_t begin,
                            std::span<const ContentLogprob> logprobs,
                            std::string& events) {
  events.push_back('}');
  AppendLogprobsField(
      !logprobs.empty(), [&] { AppendChatLogprobs(logprobs, events); }, events);
  events.append("null}");
  frame_.End(begin, events);
}

std::string ChatCompletionJson(const AnswerHead& head,
                               std::span<const ChoiceDelta> deltas,
                               const Usage& usage,
                               bool with_logprobs) {
  std::string json;
  AppendHead(head, "chat.completion", json);
  const std::vector<WholeChoice> choices = Collect(deltas);
  for (size_t i = 0; i < choices.size(); ++i) {
    const auto index = static_cast<int32_t>(i);
    const WholeChoice& choice = choices[i];
    json.append(i == 0 ? R"({"index":)" : R"(,{"index":)");
    AppendJsonNumber(int64_t{index}, json);
    json.push_back(',');
    const Calls calls = AppendMessage(choice.answer, head.id, index, json);
    const auto append_items = [&] {
      for (const ChoiceDelta* delta : choice.deltas) {
        AppendChatLogprobs(delta->logprobs, json);
      }
    };
    AppendLogprobsField(with_logprobs, append_items, json);
    AppendFinishReason(choice.finish, calls, json);
    json.push_back('}');
  }
  json.append(R"(],"usage":)");
  AppendUsage(usage, json);
  json.push_back('}');
  return json;
}

}  // namespace hadal
