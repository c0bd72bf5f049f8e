#include <algorithm>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/openai/responses.h"
#include "tests/server/openai/openai_test_support.h"

namespace hadal {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::MatchesRegex;

constexpr bool kWithLogprobs = true;
constexpr bool kWithoutLogprobs = false;

std::string Chunks(const std::vector<ChoiceDelta>& deltas, bool with_logprobs) {
  ChatChunkWriter writer(TestHead(), Delivery{.stream = true}, with_logprobs);
  std::string events;
  for (const ChoiceDelta& delta : deltas) {
    writer.Append(delta, events);
  }
  return events;
}

// Delta, logprobs and finish_reason of each chunk, as JSON text; all else is checked.
std::vector<boost::json::value> Choices(const std::string& events) {
  std::vector<boost::json::value> choices;
  for (const std::string& event : EventsOf(events)) {
    boost::json::object chunk = Json(event).get_object();
    choices.push_back(chunk["choices"].get_array().at(0));
    EXPECT_EQ(chunk["choices"].get_array().size(), 1U);
    chunk.erase("choices");
    EXPECT_EQ(boost::json::value(chunk),
              Json(R"({"id": "answer-1", "object": "chat.completion.chunk",
                       "created": 1700000000, "model": "m", "system_fingerprint": "fp"})"));
  }
  return choices;
}

boost::json::value Choice(int32_t index, std::string_view delta) {
  return Json(absl::StrFormat(
      R"({"index": %d, "delta": %s, "logprobs": null, "finish_reason": null})", index, delta));
}

boost::json::value FinalChunk(int32_t index, std::string_view reason) {
  return Json(absl::StrFormat(
      R"({"index": %d, "delta": {}, "logprobs": null, "finish_reason": "%s"})", index, reason));
}

constexpr std::string_view kRole = R"({"role": "assistant", "content": ""})";

std::string CallIdIn(const boost::json::value& choice) {
  return StringOf(choice.at("delta").at("tool_calls").at(0).at("id"));
}

TEST(ChatChunkTest, RoleThenReasoningThenContentThenTheReason) {
  const std::string events = Chunks({Delta(0, {Reasoning("hm"), Content("a")}),
                                     Delta(0, {Content("\"b\"\n")}),
                                     Last(0, {}, FinishReason::kStop)},
                                    kWithoutLogprobs);
  EXPECT_THAT(Choices(events),
              ElementsAre(Choice(0, kRole),
                          Choice(0, R"({"reasoning_content": "hm", "content": null})"),
                          Choice(0, R"({"content": "a"})"),
                          Choice(0, R"({"content": "\"b\"\n"})"),
                          FinalChunk(0, "stop")));
}

TEST(ChatChunkTest, ADeltaWithAllOfItKeepsTheOrder) {
  const std::string events =
      Chunks({Last(0, {Content("x")}, FinishReason::kLength)}, kWithoutLogprobs);
  EXPECT_THAT(
      Choices(events),
      ElementsAre(Choice(0, kRole), Choice(0, R"({"content": "x"})"), FinalChunk(0, "length")));
}

TEST(ChatChunkTest, AnEmptyAnswerHasARoleAndAReason) {
  EXPECT_THAT(Choices(Chunks({Last(0, {}, FinishReason::kStop)}, kWithoutLogprobs)),
              ElementsAre(Choice(0, kRole), FinalChunk(0, "stop")));
}

TEST(ChatChunkTest, NothingMakesNoChunk) {
  EXPECT_THAT(Chunks({Delta(0, {})}, kWithoutLogprobs), IsEmpty());
  EXPECT_THAT(Chunks({Beside({ContentLogprob{}}, Delta(0, {}))}, kWithoutLogprobs), IsEmpty());
}

TEST(ChatChunkTest, EachChoiceHasItsOwnRole) {
  const std::string events = Chunks({Delta(1, {Content("b")}),
                                     Delta(0, {Content("a")}),
                                     Last(1, {}, FinishReason::kStop),
                                     Last(0, {}, FinishReason::kLength)},
                                    kWithoutLogprobs);
  EXPECT_THAT(Choices(events),
              ElementsAre(Choice(1, kRole),
                          Choice(1, R"({"content": "b"})"),
                          Choice(0, kRole),
                          Choice(0, R"({"content": "a"})"),
                          FinalChunk(1, "stop"),
                          FinalChunk(0, "length")));
}

TEST(ChatChunkTest, ToolCallsComeInFragments) {
  const auto choices =
      Choices(Chunks({Delta(0,
                            {ToolCallBegin(0, "get\"x"),
                             Arguments(0, "{\"a\":"),
                             Arguments(0, "1}"),
                             ToolCallEnd(0),
                             ToolCallBegin(1, "g")}),
                      Last(0, {Arguments(1, "{}"), ToolCallEnd(1)}, FinishReason::kStop)},
                     kWithoutLogprobs));
  ASSERT_EQ(choices.size(), 7U);
  const std::string first = CallIdIn(choices[1]);
  const std::string second = CallIdIn(choices[4]);
  EXPECT_THAT(first, MatchesRegex("call_[0-9A-Za-z]{24}"));
  EXPECT_THAT(second, MatchesRegex("call_[0-9A-Za-z]{24}"));
  EXPECT_NE(first, second);
  const auto begin = [](int32_t index, const std::string& id, const char* name) {
    return Choice(0,
                  absl::StrFormat(R"({"tool_calls": [{"index": %d, "id": "%s",
        "type": "function", "function": {"name": "%s", "arguments": ""}}]})",
                                  index,
                                  id,
                                  name));
  };
  const auto fragment = [](int32_t index, const char* text) {
    return Choice(0,
                  absl::StrFormat(R"({"tool_calls": [{"index": %d,
        "function": {"arguments": "%s"}}]})",
                                  index,
                                  text));
  };
  EXPECT_THAT(choices,
              ElementsAre(Choice(0, kRole),
                          begin(0, first, R"(get\"x)"),
                          fragment(0, R"({\"a\":)"),
                          fragment(0, "1}"),
                          begin(1, second, "g"),
                          fragment(1, "{}"),
                          FinalChunk(0, "tool_calls")));
}

TEST(ChatChunkTest, OnlyCompleteCallsThatStopAreToolCalls) {
  const auto reason = [](const AnswerDelta& end, FinishReason finish) {
    const auto choices =
        Choices(Chunks({Last(0, {ToolCallBegin(0, "f"), end}, finish)}, kWithoutLogprobs));
    return StringOf(choices.back().at("finish_reason"));
  };
  EXPECT_EQ(reason(ToolCallEnd(0), FinishReason::kStop), "tool_calls");
  EXPECT_EQ(reason(ToolCallEnd(0), FinishReason::kLength), "length");
  EXPECT_EQ(reason(ToolCallCutOff(0), FinishReason::kLength), "length");
  EXPECT_EQ(reason(ToolCallCutOff(0), FinishReason::kStop), "stop");
  for (const FinishReason irregular :
       {FinishReason::kCancelled, FinishReason::kDeadlineExceeded, FinishReason::kFailed}) {
    EXPECT_EQ(reason(ToolCallEnd(0), irregular), "length");
  }
}

TEST(ChatChunkTest, CallIdsAreThoseOfAnswerChoiceAndCall) {
  const auto id = [](std::string answer, int32_t choice, int32_t call) {
    AnswerHead head = TestHead();
    head.id = std::move(answer);
    ChatChunkWriter writer(head, Delivery{}, kWithoutLogprobs);
    std::string events;
    writer.Append(Delta(choice, {ToolCallBegin(call, "f")}), events);
    return CallIdIn(Json(EventsOf(events).back()).at("choices").at(0));
  };
  EXPECT_EQ(id("a", 0, 0), id("a", 0, 0));
  std::vector<std::string> ids;
  for (const char* answer : {"a", "b"}) {
    for (int32_t choice = 0; choice < 8; ++choice) {
      for (int32_t call = 0; call < 32; ++call) {
        ids.push_back(id(answer, choice, call));
      }
    }
  }
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(std::adjacent_find(ids.begin(), ids.end()), ids.end());
}

constexpr std::string_view kLogprobsOfA = R"({"content": [
    {"token": "a", "logprob": -0.5, "bytes": [97],
     "top_logprobs": [{"token": "a", "logprob": -0.5, "bytes": [97]},
                      {"token": "b", "logprob": -1.25, "bytes": [98]}]}], "refusal": null})";

ContentLogprob LogprobOfA() {
  const TokenText a = {.token = 1, .bytes = "a", .logprob = -0.5F};
  return {.chosen = a, .top = {a, {.token = 2, .bytes = "b", .logprob = -1.25F}}};
}

TEST(ChatChunkTest, LogprobsStandBesideTheirContent) {
  const auto choices = Choices(
      Chunks({Beside({LogprobOfA()},
                     Last(0, {Reasoning("r"), Content("a"), Content("b")}, FinishReason::kStop))},
             kWithLogprobs));
  ASSERT_EQ(choices.size(), 5U);
  EXPECT_EQ(choices[2].at("delta"), Json(R"({"content": "a"})"));
  for (size_t i = 0; i < choices.size(); ++i) {
    EXPECT_EQ(choices[i].at("logprobs"), i == 2 ? Json(kLogprobsOfA) : boost::json::value()) << i;
  }
}

TEST(ChatChunkTest, LogprobsOfHeldBackTextComeBesideEmptyContent) {
  const auto choices =
      Choices(Chunks({Beside({LogprobOfA()}, Last(0, {}, FinishReason::kStop))}, kWithLogprobs));
  ASSERT_EQ(choices.size(), 3U);
  EXPECT_EQ(choices[1].at("delta"), Json(R"({"content": ""})"));
  EXPECT_EQ(choices[1].at("logprobs"), Json(kLogprobsOfA));
  EXPECT_EQ(choices[2], FinalChunk(0, "stop"));
}

Usage TestUsage() {
  return {.prompt_tokens = 100,
          .completion_tokens = 20,
          .reasoning_tokens = 7,
          .drafted_tokens = 5,
          .cache = {.cached_tokens = 64, .miss = CacheMiss::kDiverged, .position = 64}};
}

constexpr std::string_view kUsage = R"({"prompt_tokens": 100, "completion_tokens": 20,
    "total_tokens": 120, "prompt_tokens_details": {"cached_tokens": 64},
    "completion_tokens_details": {"reasoning_tokens": 7, "accepted_prediction_tokens": 5},
    "prompt_cache_hit_tokens": 64,
    "prompt_cache_miss_tokens": 36, "prompt_cache_miss": {"reason": "diverged", "position": 64}})";

TEST(ChatCompletionTest, HasEveryKeyOfTheApi) {
  const std::vector<ChoiceDelta> deltas = {
      Delta(0, {Reasoning("r1"), Reasoning("r2"), Content("a")}),
      Delta(1, {Content("b")}),
      Last(0, {Content("c")}, FinishReason::kStop),
      Last(1, {}, FinishReason::kLength)};
  EXPECT_EQ(Json(ChatCompletionJson(TestHead(), deltas, TestUsage(), kWithoutLogprobs)),
            Json(absl::StrFormat(R"({
    "id": "answer-1", "object": "chat.completion", "created": 1700000000, "model": "m",
    "system_fingerprint": "fp", "choices": [
      {"index": 0, "message": {"role": "assistant", "content": "ac", "refusal": null,
       "reasoning_content": "r1r2"}, "logprobs": null, "finish_reason": "stop"},
      {"index": 1, "message": {"role": "assistant", "content": "b", "refusal": null},
       "logprobs": null, "finish_reason": "length"}],
    "usage": %s})",
                                 kUsage)));
}

TEST(ChatCompletionTest, ContentIsNullBesideToolCallsAlone) {
  const auto message = [](const std::vector<AnswerDelta>& parts) {
    const std::vector<ChoiceDelta> deltas = {Last(0, parts, FinishReason::kStop)};
    return Json(ChatCompletionJson(TestHead(), deltas, Usage{}, kWithoutLogprobs))
        .at("choices")
        .at(0)
        .at("message");
  };
  EXPECT_TRUE(message({ToolCallBegin(0, "f"), ToolCallEnd(0)}).at("content").is_null());
  EXPECT_EQ(message({Content("x"), ToolCallBegin(0, "f"), ToolCallEnd(0)}).at("content"), "x");
  EXPECT_EQ(message({}).at("content"), "");
  EXPECT_EQ(message({Reasoning("r")}).at("content"), "");
  EXPECT_FALSE(message({}).as_object().contains("tool_calls"));
  EXPECT_FALSE(message({}).as_object().contains("reasoning_content"));
}

TEST(ChatCompletionTest, ToolCallsAreWhole) {
  const std::vector<ChoiceDelta> deltas = {
      Delta(0, {ToolCallBegin(0, "f"), Arguments(0, "{\"a\"")}),
      Delta(0, {Arguments(0, ":1}"), ToolCallEnd(0), ToolCallBegin(1, "g")}),
      Last(0, {ToolCallCutOff(1)}, FinishReason::kStop)};
  const boost::json::value choice =
      Json(ChatCompletionJson(TestHead(), deltas, Usage{}, kWithoutLogprobs)).at("choices").at(0);
  boost::json::array calls = choice.at("message").at("tool_calls").as_array();
  for (boost::json::value& call : calls) {
    EXPECT_THAT(StringOf(call.at("id")), MatchesRegex("call_[0-9A-Za-z]{24}"));
    call.as_object().erase("id");
  }
  EXPECT_EQ(boost::json::value(calls), Json(R"([
      {"type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
      {"type": "function", "function": {"name": "g", "arguments": ""}}])"));
  EXPECT_EQ(choice.at("finish_reason"), "tool_calls");
}

TEST(ChatCompletionTest, LogprobsOfAllDeltas) {
  const std::vector<ChoiceDelta> deltas = {
      Beside({LogprobOfA()}, Delta(0, {Content("a")})),
      Last(1, {Content("a")}, FinishReason::kStop),
      Beside({LogprobOfA(), LogprobOfA()}, Last(0, {Content("aa")}, FinishReason::kStop))};
  const boost::json::value choices =
      Json(ChatCompletionJson(TestHead(), deltas, Usage{}, kWithLogprobs)).at("choices");
  const boost::json::value item = Json(kLogprobsOfA).at("content").at(0);
  EXPECT_EQ(choices.at(0).at("logprobs").at("content"),
            boost::json::value(boost::json::array{item, item, item}));
  EXPECT_EQ(choices.at(1).at("logprobs"), Json(R"({"content": [], "refusal": null})"));
}

}  // namespace
}  // namespace hadal
