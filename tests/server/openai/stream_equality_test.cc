// Random answers, streamed and whole: put together, the chunks of a stream are the whole response.

#include <map>
#include <random>
#include <string>

#include <absl/strings/str_cat.h>
#include <gtest/gtest.h>

#include "server/openai/responses.h"
#include "tests/server/openai/openai_test_support.h"

namespace hadal {
namespace {

using boost::json::array;
using boost::json::object;
using boost::json::value;

constexpr uint32_t kNumSeeds = 500;

class RandomAnswer {
 public:
  explicit RandomAnswer(uint32_t seed) : random_(seed) {}

  std::vector<ChoiceDelta> ChatDeltas() {
    std::vector<ChoiceDelta> deltas;
    const auto num_choices = static_cast<int32_t>(1 + Below(3));
    std::vector<int32_t> open;
    std::map<int32_t, Calls> calls;
    for (int32_t i = 0; i < num_choices; ++i) {
      open.push_back(i);
    }
    while (!open.empty()) {
      const size_t at = Below(open.size());
      ChoiceDelta delta = Delta(open[at], {});
      AddParts(calls[delta.choice], delta);
      AddLogprobs(delta);
      if (Below(6) == 0) {
        if (calls[delta.choice].open) {
          EndCall(calls[delta.choice], delta);
        }
        delta.finish = Below(2) == 0 ? FinishReason::kStop : FinishReason::kLength;
        open.erase(open.begin() + static_cast<std::ptrdiff_t>(at));
      }
      deltas.push_back(delta);
    }
    return deltas;
  }

  std::vector<ChoiceDelta> TextDeltas() {
    std::vector<ChoiceDelta> deltas = ChatDeltas();
    for (ChoiceDelta& delta : deltas) {
      for (AnswerDelta& part : delta.parts) {
        part = Content(part.text);
      }
    }
    return deltas;
  }

  bool Coin() { return Below(2) == 0; }

 private:
  size_t Below(size_t bound) { return random_() % bound; }

  std::string Piece() {
    constexpr const char* kPieces[] = {"",
                                       "a",
                                       "hello ",
                                       "\"",
                                       "\\",
                                       "\n",
                                       "ä",
                                       "😀",
                                       "\x01",
                                       "{\"k\":",
                                       "data: ",
                                       "</think>",
                                       "\u2028"};
    std::string text;
    for (size_t i = Below(4); i > 0; --i) {
      text += kPieces[Below(std::size(kPieces))];
    }
    return text;
  }

  struct Calls {
    int32_t number = 0;
    bool open = false;
  };

  // As AnswerParser gives them: a call ends before anything else begins.
  void AddParts(Calls& calls, ChoiceDelta& delta) {
    for (size_t i = Below(5); i > 0; --i) {
      if (calls.open) {
        if (Coin()) {
          delta.parts.push_back(Arguments(calls.number - 1, Piece()));
        } else {
          EndCall(calls, delta);
        }
        continue;
      }
      switch (Below(3)) {
        case 0:
          delta.parts.push_back(Reasoning(Piece()));
          break;
        case 1:
          delta.parts.push_back(Content(Piece()));
          break;
        default:
          delta.parts.push_back(ToolCallBegin(calls.number++, absl::StrCat("f", Piece())));
          calls.open = true;
      }
    }
  }

  void EndCall(Calls& calls, ChoiceDelta& delta) {
    const int32_t index = calls.number - 1;
    delta.parts.push_back(Coin() ? ToolCallEnd(index) : ToolCallCutOff(index));
    calls.open = false;
  }

  void AddLogprobs(ChoiceDelta& delta) {
    for (size_t i = Below(3); i > 0; --i) {
      ContentLogprob logprob;
      logprob.chosen = Token();
      for (size_t j = Below(4); j > 0; --j) {
        logprob.top.push_back(Token());
      }
      delta.logprobs.push_back(logprob);
    }
  }

  TokenText Token() {
    constexpr const char* kBytes[] = {"a", "\xF0\x9F", "\x98", "\"", " the", "", "\xFF"};
    return {.token = 0,
            .bytes = kBytes[Below(std::size(kBytes))],
            .logprob = -static_cast<float>(Below(1000)) / 7};
  }

  std::mt19937 random_;
};

void AppendString(const value& from, std::string_view key, object& to) {
  const value* more = from.as_object().if_contains({key.data(), key.size()});
  if (more == nullptr || more->is_null()) {
    return;
  }
  value& text = to[{key.data(), key.size()}];
  if (!text.is_string()) {
    text = "";
  }
  text.get_string().append(more->get_string());
}

void AppendCalls(const value& delta, object& message) {
  const value* calls = delta.as_object().if_contains("tool_calls");
  if (calls == nullptr) {
    return;
  }
  value& all = message["tool_calls"];
  if (!all.is_array()) {
    all = array{};
  }
  for (const value& call : calls->as_array()) {
    const auto index = static_cast<size_t>(call.at("index").as_int64());
    if (index == all.get_array().size()) {
      object begun = call.as_object();
      begun.erase("index");
      all.get_array().push_back(begun);
    } else {
      AppendString(call.at("function"), "arguments", all.at(index).at("function").get_object());
    }
  }
}

void AppendLists(const value& from, value& to) {
  if (from.is_null()) {
    return;
  }
  for (const auto& list : from.as_object()) {
    if (list.value().is_array()) {
      array& all = to.at(list.key()).get_array();
      all.insert(all.end(), list.value().get_array().begin(), list.value().get_array().end());
    }
  }
}

// The chunks of a stream, as a client puts them together; logprobs begin as `no_logprobs`.
std::map<int64_t, object> Join(const std::string& events, const value& no_logprobs) {
  std::map<int64_t, object> choices;
  for (const std::string& event : EventsOf(events)) {
    if (event == "[DONE]") {
      break;
    }
    const value chunk = Json(event);
    for (const value& choice : chunk.at("choices").as_array()) {
      object& whole = choices[choice.at("index").as_int64()];
      EXPECT_TRUE(!whole.contains("finish_reason") || whole["finish_reason"].is_null())
          << "a chunk after the last";
      if (!whole.contains("logprobs")) {
        whole["logprobs"] = no_logprobs;
      }
      AppendLists(choice.at("logprobs"), whole["logprobs"]);
      whole["index"] = choice.at("index");
      whole["finish_reason"] = choice.at("finish_reason");
      if (const value* delta = choice.as_object().if_contains("delta")) {
        if (!whole.contains("message")) {
          EXPECT_EQ(*delta, Json(R"({"role": "assistant", "content": ""})"));
          whole["message"] = Json(R"({"role": "assistant", "content": "", "refusal": null})");
        }
        object& message = whole["message"].get_object();
        AppendString(*delta, "content", message);
        AppendString(*delta, "reasoning_content", message);
        AppendCalls(*delta, message);
      } else {
        AppendString(choice, "text", whole);
      }
    }
  }
  return choices;
}

// What a whole message words in its own way.
void Normalise(object& whole) {
  object& message = whole["message"].get_object();
  if (message.contains("tool_calls") && message["content"] == "") {
    message["content"] = nullptr;
  }
  if (message.contains("reasoning_content") && message["reasoning_content"] == "") {
    message.erase("reasoning_content");
  }
}

TEST(StreamEqualityTest, OfChats) {
  for (uint32_t seed = 0; seed < kNumSeeds; ++seed) {
    RandomAnswer random(seed);
    const bool with_logprobs = random.Coin();
    const Delivery delivery = {
        .stream = true, .include_usage = random.Coin(), .include_obfuscation = random.Coin()};
    const std::vector<ChoiceDelta> deltas = random.ChatDeltas();
    ChatChunkWriter writer(TestHead(), delivery, with_logprobs);
    std::string events;
    for (const ChoiceDelta& delta : deltas) {
      writer.Append(delta, events);
    }
    writer.AppendEnd(Usage{}, events);
    const value whole = Json(ChatCompletionJson(TestHead(), deltas, Usage{}, with_logprobs));
    const value no_logprobs = with_logprobs ? Json(R"({"content": [], "refusal": null})") : value();
    std::map<int64_t, object> joined = Join(events, no_logprobs);
    ASSERT_EQ(joined.size(), whole.at("choices").as_array().size()) << "seed " << seed;
    for (auto& [index, choice] : joined) {
      Normalise(choice);
      ASSERT_EQ(value(choice), whole.at("choices").at(static_cast<size_t>(index)))
          << "seed " << seed;
    }
  }
}

TEST(StreamEqualityTest, OfTexts) {
  for (uint32_t seed = 0; seed < kNumSeeds; ++seed) {
    RandomAnswer random(seed);
    const bool with_logprobs = random.Coin();
    const bool with_echo = random.Coin();
    const std::vector<ChoiceDelta> deltas = random.TextDeltas();
    CompletionChunkWriter writer(TestHead(), {.stream = true}, with_logprobs);
    std::string events;
    std::vector<std::string> echoes;
    if (with_echo) {
      echoes.assign(3, "pröm\"pt");
      for (int32_t i = 0; i < 3; ++i) {
        writer.AppendEcho(i, echoes[0], events);
      }
    }
    for (const ChoiceDelta& delta : deltas) {
      writer.Append(delta, events);
    }
    writer.AppendEnd(Usage{}, events);
    const value whole = Json(CompletionJson(TestHead(), deltas, echoes, Usage{}, with_logprobs));
    const value no_logprobs = with_logprobs
                                  ? Json(R"({"tokens": [], "token_logprobs": [], "top_logprobs": [],
                                 "text_offset": []})")
                                  : value();
    const std::map<int64_t, object> joined = Join(events, no_logprobs);
    ASSERT_EQ(joined.size(), whole.at("choices").as_array().size()) << "seed " << seed;
    for (const auto& [index, choice] : joined) {
      ASSERT_EQ(value(choice), whole.at("choices").at(static_cast<size_t>(index)))
          << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace hadal
