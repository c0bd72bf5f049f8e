#include "server/openai/logprobs_json.h"

#include <algorithm>

#include "base/utf8.h"
#include "server/openai/json_text.h"

namespace hadal {
namespace {

constexpr float kLeastLogprob = -9999;

void AppendLogprob(float logprob, std::string& json) {
  // A comparison that NaN fails too: whatever comes, JSON goes out.
  AppendJsonNumber(logprob > kLeastLogprob ? std::min(logprob, 0.0F) : kLeastLogprob, json);
}

void AppendTokenText(std::string_view bytes, std::string& json) {
  if (ValidUtf8Prefix(bytes) == bytes.size()) {
    AppendJsonEscaped(bytes, json);
  } else {
    AppendJsonEscaped(ReplaceInvalidUtf8(bytes), json);
  }
}

bool IsContinuation(char byte) {
  return (static_cast<uint8_t>(byte) & 0xC0U) == 0x80U;
}

int64_t CountCharacters(std::string_view bytes) {
  return std::count_if(bytes.begin(), bytes.end(), [](char byte) { return !IsContinuation(byte); });
}

// {"token", "logprob", "bytes", without its end.
void AppendToken(const TokenText& token, std::string& json) {
  json.append(R"({"token":")");
  AppendTokenText(token.bytes, json);
  json.append(R"(","logprob":)");
  AppendLogprob(token.logprob, json);
  json.append(R"(,"bytes":[)");
  for (const char byte : token.bytes) {
    AppendJsonNumber(int64_t{static_cast<uint8_t>(byte)}, json);
    json.push_back(',');
  }
  if (json.back() == ',') {
    json.pop_back();
  }
  json.push_back(']');
}

void AppendComma(std::string& json) {
  if (!json.empty() && json.back() != '[' && json.back() != '{') {
    json.push_back(',');
  }
}

}  // namespace

void AppendChatLogprobs(std::span<const ContentLogprob> logprobs, std::string& json) {
  for (const ContentLogprob& logprob : logprobs) {
    AppendComma(json);
    AppendToken(logprob.chosen, json);
    json.append(R"(,"top_logprobs":[)");
    for (const TokenText& token : logprob.top) {
      AppendComma(json);
      AppendToken(token, json);
      json.push_back('}');
    }
    json.append("]}");
  }
}

void CompletionLogprobs::Skip(std::string_view text) {
  num_characters_ += CountCharacters(text);
}

void CompletionLogprobs::Add(std::span<const ContentLogprob> logprobs) {
  for (const ContentLogprob& logprob : logprobs) {
    const std::string_view bytes = logprob.chosen.bytes;
    AppendComma(tokens_);
    tokens_.push_back('"');
    AppendTokenText(bytes, tokens_);
    tokens_.push_back('"');
    AppendComma(token_logprobs_);
    AppendLogprob(logprob.chosen.logprob, token_logprobs_);
    AddTop(logprob);
    // A token that begins within a character stands where that character does.
    const bool within = !bytes.empty() && IsContinuation(bytes[0]) && num_characters_ > 0;
    AppendComma(text_offsets_);
    AppendJsonNumber(num_characters_ - (within ? 1 : 0), text_offsets_);
    num_characters_ += CountCharacters(bytes);
  }
}

// The best tokens and the chosen one by their texts. Different tokens can have equal texts, of
// which the best stays: an object holds a key once.
void CompletionLogprobs::AddTop(const ContentLogprob& logprob) {
  AppendComma(top_logprobs_);
  top_logprobs_.push_back('{');
  keys_.clear();
  for (const TokenText& token : logprob.top) {
    AddTopEntry(token);
  }
  AddTopEntry(logprob.chosen);
  top_logprobs_.push_back('}');
}

void CompletionLogprobs::AddTopEntry(const TokenText& entry) {
  const size_t old_size = top_logprobs_.size();
  AppendComma(top_logprobs_);
  top_logprobs_.push_back('"');
  const size_t begin = top_logprobs_.size();
  AppendTokenText(entry.bytes, top_logprobs_);
  const std::string_view all = top_logprobs_;
  const std::string_view key = all.substr(begin);
  for (const auto& [other_begin, other_size] : keys_) {
    if (all.substr(other_begin, other_size) == key) {
      top_logprobs_.resize(old_size);
      return;
    }
  }
  keys_.emplace_back(begin, key.size());
  top_logprobs_.append("\":");
  AppendLogprob(entry.logprob, top_logprobs_);
}

void CompletionLogprobs::Flush(std::string& json) {
  const auto append = [&json](std::string_view name, std::string& items) {
    json.append(name);
    json.append(items);
    items.clear();
  };
  append(R"({"tokens":[)", tokens_);
  append(R"(],"token_logprobs":[)", token_logprobs_);
  append(R"(],"top_logprobs":[)", top_logprobs_);
  append(R"(],"text_offset":[)", text_offsets_);
  json.append("]}");
}

}  // namespace hadal
