#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/openai/responses.h"
#include "tests/server/openai/openai_test_support.h"

namespace hadal {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr bool kWithLogprobs = true;
constexpr bool kWithoutLogprobs = false;

ContentLogprob LogprobOf(std::string bytes) {
  return {.chosen = {.token = 1, .bytes = std::move(bytes), .logprob = -0.5F}, .top = {}};
}

std::vector<boost::json::value> Choices(const std::string& events) {
  std::vector<boost::json::value> choices;
  for (const std::string& event : EventsOf(events)) {
    boost::json::object chunk = Json(event).get_object();
    choices.push_back(chunk["choices"].get_array().at(0));
    chunk.erase("choices");
    EXPECT_EQ(boost::json::value(chunk),
              Json(R"({"id": "answer-1", "object": "text_completion", "created": 1700000000,
                       "model": "m", "system_fingerprint": "fp"})"));
  }
  return choices;
}

boost::json::value Choice(int32_t index, const char* text, const char* logprobs, const char* end) {
  return Json(absl::StrFormat(R"({"index": %d, "text": "%s", "logprobs": %s, "finish_reason": %s})",
                              index,
                              text,
                              logprobs,
                              end));
}

TEST(CompletionChunkTest, ADeltaIsAChunk) {
  CompletionChunkWriter writer(TestHead(), {.stream = true}, kWithoutLogprobs);
  std::string events;
  writer.Append(Delta(1, {Content("a"), Content("\n")}), events);
  writer.Append(Last(0, {Content("b")}, FinishReason::kStop), events);
  writer.Append(Last(1, {}, FinishReason::kLength), events);
  EXPECT_THAT(Choices(events),
              ElementsAre(Choice(1, "a\\n", "null", "null"),
                          Choice(0, "b", "null", "\"stop\""),
                          Choice(1, "", "null", "\"length\"")));
}

TEST(CompletionChunkTest, NothingMakesNoChunk) {
  CompletionChunkWriter writer(TestHead(), {.stream = true}, kWithoutLogprobs);
  std::string events;
  writer.Append(Delta(0, {}), events);
  writer.Append(Delta(0, {Content("")}), events);
  writer.Append(Beside({LogprobOf("x")}, Delta(0, {})), events);
  EXPECT_THAT(events, IsEmpty());
  writer.AppendEnd(Usage{}, events);
  EXPECT_EQ(events, "data: [DONE]\n\n");
}

TEST(CompletionChunkTest, OffsetsGoOnFromChunkToChunk) {
  CompletionChunkWriter writer(TestHead(), {.stream = true}, kWithLogprobs);
  std::string events;
  writer.AppendEcho(1, "äö", events);
  writer.Append(Beside({LogprobOf("a")}, Delta(1, {Content("a")})), events);
  writer.Append(Beside({LogprobOf("b")}, Delta(0, {Content("b")})), events);
  writer.Append(Beside({LogprobOf("c")}, Delta(1, {})), events);
  writer.Append(Last(1, {}, FinishReason::kStop), events);
  EXPECT_THAT(Choices(events),
              ElementsAre(Choice(1, "äö", "null", "null"),
                          Choice(1,
                                 "a",
                                 R"({"tokens": ["a"], "token_logprobs": [-0.5],
                              "top_logprobs": [{"a": -0.5}], "text_offset": [2]})",
                                 "null"),
                          Choice(0,
                                 "b",
                                 R"({"tokens": ["b"], "token_logprobs": [-0.5],
                              "top_logprobs": [{"b": -0.5}], "text_offset": [0]})",
                                 "null"),
                          Choice(1,
                                 "",
                                 R"({"tokens": ["c"], "token_logprobs": [-0.5],
                              "top_logprobs": [{"c": -0.5}], "text_offset": [3]})",
                                 "null"),
                          Choice(1, "", "null", "\"stop\"")));
}

TEST(CompletionTest, HasEveryKeyOfTheApi) {
  const std::vector<ChoiceDelta> deltas = {Delta(1, {Content("a")}),
                                           Last(0, {Content("b")}, FinishReason::kStop),
                                           Last(1, {Content("c")}, FinishReason::kLength)};
  const boost::json::value response =
      Json(CompletionJson(TestHead(), deltas, {}, UsageOf(2, 0), kWithoutLogprobs));
  EXPECT_EQ(response.at("object"), "text_completion");
  EXPECT_EQ(response.at("id"), "answer-1");
  EXPECT_EQ(response.at("usage").at("total_tokens"), 2);
  EXPECT_EQ(response.at("choices"),
            boost::json::value(boost::json::array{Choice(0, "b", "null", "\"stop\""),
                                                  Choice(1, "ac", "null", "\"length\"")}));
}

TEST(CompletionTest, EchoesStandInFront) {
  const std::vector<ChoiceDelta> deltas = {Last(1, {Content("a")}, FinishReason::kStop)};
  const std::vector<std::string> echoes = {"p0", "p1", "p2"};
  const boost::json::value response =
      Json(CompletionJson(TestHead(), deltas, echoes, Usage{}, kWithoutLogprobs));
  EXPECT_EQ(response.at("choices"),
            boost::json::value(boost::json::array{Choice(0, "p0", "null", "null"),
                                                  Choice(1, "p1a", "null", "\"stop\""),
                                                  Choice(2, "p2", "null", "null")}));
}

TEST(CompletionTest, LogprobsOfAllDeltas) {
  const std::vector<ChoiceDelta> deltas = {
      Beside({LogprobOf("a")}, Delta(0, {Content("a")})),
      Beside({LogprobOf("b"), LogprobOf("c")}, Last(0, {Content("bc")}, FinishReason::kStop))};
  const boost::json::value response =
      Json(CompletionJson(TestHead(), deltas, {}, Usage{}, kWithLogprobs));
  EXPECT_EQ(response.at("choices").at(0).at("logprobs"),
            Json(R"({"tokens": ["a", "b", "c"], "token_logprobs": [-0.5, -0.5, -0.5],
                     "top_logprobs": [{"a": -0.5}, {"b": -0.5}, {"c": -0.5}],
                     "text_offset": [0, 1, 2]})"));
}

}  // namespace
}  // namespace hadal
