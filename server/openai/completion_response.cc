#include <algorithm>

#include "base/check.h"
#include "server/openai/json_text.h"
#include "server/openai/responses.h"

namespace hadal {
namespace {

// Appends the text of a delta as it stands between quotes.
void AppendText(const ChoiceDelta& delta, std::string& json) {
  for (const AnswerDelta& part : delta.parts) {
    if (part.kind == AnswerDelta::Kind::kContent) {
      AppendJsonEscaped(part.text, json);
    }
  }
}

bool HasText(const ChoiceDelta& delta) {
  return std::any_of(delta.parts.begin(), delta.parts.end(), [](const AnswerDelta& part) {
    return part.kind == AnswerDelta::Kind::kContent && !part.text.empty();
  });
}

// Appends up to where the text begins.
void AppendChoice(int64_t index, std::string& json) {
  json.append(R"({"index":)");
  AppendJsonNumber(index, json);
  json.append(R"(,"text":")");
}

constexpr std::string_view kNoLogprobs = R"(","logprobs":null,"finish_reason":)";

// Appends what stands behind the text, up to the finish_reason.
void AppendLogprobsField(CompletionLogprobs& logprobs, std::string& json) {
  json.append(R"(","logprobs":)");
  logprobs.Flush(json);
  json.append(R"(,"finish_reason":)");
}

// The deltas of each choice, in order.
std::vector<std::vector<const ChoiceDelta*>> Collect(std::span<const ChoiceDelta> deltas) {
  std::vector<std::vector<const ChoiceDelta*>> choices;
  for (const ChoiceDelta& delta : deltas) {
    CHECK_GE(delta.choice, 0);
    const auto index = static_cast<size_t>(delta.choice);
    if (index >= choices.size()) {
      choices.resize(index + 1);
    }
    choices[index].push_back(&delta);
  }
  return choices;
}

}  // namespace

CompletionChunkWriter::CompletionChunkWriter(const AnswerHead& head,
                                             const Delivery& delivery,
                                             bool with_logprobs)
    : frame_(head, "text_completion", delivery), with_logprobs_(with_logprobs) {}

void CompletionChunkWriter::Append(const ChoiceDelta& delta, std::string& events) {
  const bool has_logprobs = with_logprobs_ && !delta.logprobs.empty();
  if (!HasText(delta) && !has_logprobs && !delta.finish) {
    return;
  }
  const size_t begin = Open(delta.choice, events);
  AppendText(delta, events);
  if (has_logprobs) {
    CompletionLogprobs& logprobs = LogprobsOf(delta.choice);
    logprobs.Add(delta.logprobs);
    AppendLogprobsField(logprobs, events);
  } else {
    events.append(kNoLogprobs);
  }
  AppendFinishReason(delta.finish, Calls::kNone, events);
  events.push_back('}');
  frame_.End(begin, events);
}

void CompletionChunkWriter::AppendEcho(int32_t choice,
                                       std::string_view prompt,
                                       std::string& events) {
  LogprobsOf(choice).Skip(prompt);
  const size_t begin = Open(choice, events);
  AppendJsonEscaped(prompt, events);
  events.append(kNoLogprobs);
  events.append("null}");
  frame_.End(begin, events);
}

void CompletionChunkWriter::AppendEnd(const Usage& usage, std::string& events) {
  frame_.AppendEnd(usage, events);
}

CompletionLogprobs& CompletionChunkWriter::LogprobsOf(int32_t choice) {
  CHECK_GE(choice, 0);
  const auto index = static_cast<size_t>(choice);
  if (index >= logprobs_.size()) {
    logprobs_.resize(index + 1);
  }
  return logprobs_[index];
}

size_t CompletionChunkWriter::Open(int32_t choice, std::string& events) {
  const size_t begin = frame_.Begin(events);
  AppendChoice(choice, events);
  return begin;
}

std::string CompletionJson(const AnswerHead& head,
                           std::span<const ChoiceDelta> deltas,
                           std::span<const std::string> echoes,
                           const Usage& usage,
                           bool with_logprobs) {
  std::string json;
  AppendHead(head, "text_completion", json);
  std::vector<std::vector<const ChoiceDelta*>> choices = Collect(deltas);
  choices.resize(std::max(choices.size(), echoes.size()));
  for (size_t i = 0; i < choices.size(); ++i) {
    if (i > 0) {
      json.push_back(',');
    }
    AppendChoice(static_cast<int64_t>(i), json);
    CompletionLogprobs logprobs;
    if (i < echoes.size()) {
      AppendJsonEscaped(echoes[i], json);
      logprobs.Skip(echoes[i]);
    }
    std::optional<FinishReason> finish;
    for (const ChoiceDelta* delta : choices[i]) {
      AppendText(*delta, json);
      if (with_logprobs) {
        logprobs.Add(delta->logprobs);
      }
      if (delta->finish) {
        finish = delta->finish;
      }
    }
    if (with_logprobs) {
      AppendLogprobsField(logprobs, json);
    } else {
      json.append(kNoLogprobs);
    }
    AppendFinishReason(finish, Calls::kNone, json);
    json.push_back('}');
  }
  json.append(R"(],"usage":)");
  AppendUsage(usage, json);
  json.push_back('}');
  return json;
}

}  // namespace hadal
