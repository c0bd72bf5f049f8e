#include "server/openai/logprobs_json.h"

#include <cmath>
#include <limits>
#include <string>

#include <gtest/gtest.h>

#include "tests/server/openai/openai_test_support.h"

namespace hadal {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TokenText Token(std::string bytes, float logprob) {
  return {.token = 0, .bytes = std::move(bytes), .logprob = logprob};
}

boost::json::value ChatItems(const std::vector<ContentLogprob>& logprobs) {
  std::string json = "[";
  AppendChatLogprobs(logprobs, json);
  return Json(json + "]");
}

boost::json::value CompletionItems(const std::vector<ContentLogprob>& logprobs) {
  CompletionLogprobs items;
  items.Add(logprobs);
  std::string json;
  items.Flush(json);
  return Json(json);
}

TEST(LogprobsJsonTest, ChatTokensHaveTheirBytes) {
  EXPECT_EQ(ChatItems({}), Json("[]"));
  EXPECT_EQ(ChatItems({{.chosen = Token("\"\n", -1), .top = {}},
                       {.chosen = Token("", 0), .top = {Token("ä", -0.25F)}}}),
            Json(R"([{"token": "\"\n", "logprob": -1, "bytes": [34, 10], "top_logprobs": []},
                     {"token": "", "logprob": 0, "bytes": [], "top_logprobs": [
                        {"token": "ä", "logprob": -0.25, "bytes": [195, 164]}]}])"));
}

TEST(LogprobsJsonTest, PartsOfCharactersAreReplacedInTheTextOnly) {
  EXPECT_EQ(ChatItems({{.chosen = Token("\xF0\x9F", -1), .top = {}}}),
            Json("[{\"token\": \"\xEF\xBF\xBD\", \"logprob\": -1, \"bytes\": [240, 159], "
                 "\"top_logprobs\": []}]"));
}

TEST(LogprobsJsonTest, NothingIsInfinite) {
  const auto logprob = [](float value) {
    return ChatItems({{.chosen = Token("x", value), .top = {}}})
        .at(0)
        .at("logprob")
        .to_number<double>();
  };
  EXPECT_EQ(logprob(-kInfinity), -9999);
  EXPECT_EQ(logprob(std::numeric_limits<float>::quiet_NaN()), -9999);
  EXPECT_EQ(logprob(-1e30F), -9999);
  EXPECT_EQ(logprob(-9998.5F), -9998.5);
  EXPECT_EQ(logprob(kInfinity), 0);
  EXPECT_EQ(CompletionItems({{.chosen = Token("x", -kInfinity), .top = {}}}),
            Json(R"({"tokens": ["x"], "token_logprobs": [-9999], "top_logprobs": [{"x": -9999}],
                     "text_offset": [0]})"));
}

TEST(LogprobsJsonTest, CompletionsHaveFourLists) {
  EXPECT_EQ(CompletionItems({}),
            Json(R"({"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []})"));
  EXPECT_EQ(CompletionItems({{.chosen = Token("ab", -1), .top = {Token("ab", -1), Token("c", -2)}},
                             {.chosen = Token("ä", -3), .top = {Token("b", -0.5F)}},
                             {.chosen = Token("z", -0.125F), .top = {}}}),
            Json(R"({"tokens": ["ab", "ä", "z"], "token_logprobs": [-1, -3, -0.125],
               "top_logprobs": [{"ab": -1, "c": -2}, {"b": -0.5, "ä": -3}, {"z": -0.125}],
               "text_offset": [0, 2, 3]})"));
}

// ParseJson refuses objects that hold a key twice.
TEST(LogprobsJsonTest, OfEqualTextsTheBestStays) {
  const boost::json::value top = CompletionItems({{.chosen = Token("\xFE", -7),
                                                   .top = {Token("\xFF", -1),
                                                           Token("a", -2),
                                                           Token("a", -3),
                                                           Token("\xFE", -4),
                                                           Token("\"", -5),
                                                           Token("\"", -6)}}})
                                     .at("top_logprobs")
                                     .at(0);
  EXPECT_EQ(top, Json("{\"\xEF\xBF\xBD\": -1, \"a\": -2, \"\\\"\": -5}"));
}

TEST(LogprobsJsonTest, OffsetsCountCharacters) {
  CompletionLogprobs items;
  items.Skip("äö");
  std::string json;
  // Two characters of four bytes, cut into three tokens.
  items.Add(std::vector<ContentLogprob>{{.chosen = Token("\xF0\x9F", 0), .top = {}},
                                        {.chosen = Token("\x98\x80\xF0", 0), .top = {}}});
  items.Flush(json);
  EXPECT_EQ(Json(json).at("text_offset"), Json("[2, 2]"));
  json.clear();
  items.Add(std::vector<ContentLogprob>{{.chosen = Token("\x9F\x98\x80", 0), .top = {}},
                                        {.chosen = Token("x", 0), .top = {}}});
  items.Flush(json);
  EXPECT_EQ(Json(json).at("text_offset"), Json("[3, 4]"));
  EXPECT_EQ(Json(json).at("tokens").as_array().size(), 2U);
}

}  // namespace
}  // namespace hadal
