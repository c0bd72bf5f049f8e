#include "server/openai/responses.h"

#include <gtest/gtest.h>

#include "tests/server/openai/openai_test_support.h"

namespace hadal {
namespace {

TEST(ResponsesTest, Models) {
  const boost::json::value model = Json(R"({"id": "a\"b", "object": "model", "created": 5,
      "owned_by": "hadal", "max_model_len": 4096})");
  EXPECT_EQ(Json(ModelJson("a\"b", 5, 4096)), model);
  boost::json::value other = model;
  other.at("id") = "c";
  const std::vector<std::string> names = {"a\"b", "c"};
  EXPECT_EQ(Json(ModelListJson(names, 5, 4096)),
            boost::json::value({{"object", "list"}, {"data", boost::json::array{model, other}}}));
  EXPECT_EQ(Json(ModelListJson({}, 5, 4096)), Json(R"({"object": "list", "data": []})"));
}

TEST(ResponsesTest, AStreamThatFailsSaysWhy) {
  const std::vector<std::string> events = EventsOf(ErrorEvent(Unavailable("draining")));
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(Json(events[0]), Json(R"({"error": {"message": "draining", "type": "server_error",
      "param": null, "code": "unavailable"}})"));
}

TEST(ResponsesTest, Tokenize) {
  const std::vector<TokenId> tokens = {0, 128803};
  EXPECT_EQ(Json(TokenizeJson(tokens, nullptr, 100)),
            Json(R"({"count": 2, "max_model_len": 100, "tokens": [0, 128803]})"));
  const std::vector<std::string> strings = {"a\n", "\xFF"};
  EXPECT_EQ(Json(TokenizeJson(tokens, &strings, 100)),
            Json("{\"count\": 2, \"max_model_len\": 100, \"tokens\": [0, 128803], "
                 "\"token_strs\": [\"a\\n\", \"\xEF\xBF\xBD\"]}"));
  const std::vector<std::string> none;
  EXPECT_EQ(Json(TokenizeJson({}, &none, 100)),
            Json(R"({"count": 0, "max_model_len": 100, "tokens": [], "token_strs": []})"));
}

TEST(ResponsesTest, Detokenize) {
  EXPECT_EQ(Json(DetokenizeJson("a\"ä")), Json(R"({"prompt": "a\"ä"})"));
  EXPECT_EQ(Json(DetokenizeJson("\xF0")), Json("{\"prompt\": \"\xEF\xBF\xBD\"}"));
}

}  // namespace
}  // namespace hadal
