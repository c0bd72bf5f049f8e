#include "engine/text/tokenizer_json.h"

#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "tests/engine/text/small_tokenizer.h"

namespace hadal {
namespace {

using testing::HasSubstr;

boost::json::object Small() {
  const std::vector<std::string> merges = {"a b", "ab c"};
  const std::vector<std::string> added = {"<s>", "</s>", "<tool>"};
  return SmallTokenizerJson(merges, added);
}

boost::json::value Json(std::string_view text) {
  return *ParseJson(text);
}

TEST(TokenizerJsonTest, ReadsPiecesMergesAndAddedTokens) {
  const absl::StatusOr<TokenizerJson> json = ReadTokenizerJson(Small());
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ(json->pieces.size(), 261U);
  EXPECT_EQ(json->pieces[0xC3], "\xC3");
  EXPECT_EQ(json->pieces[257], "abc");
  EXPECT_EQ(json->pieces[258], "<s>");
  ASSERT_EQ(json->bpe.merges.size(), 2U);
  EXPECT_EQ(json->bpe.merges[1].left, 256);
  EXPECT_EQ(json->bpe.merges[1].right, 'c');
  EXPECT_EQ(json->bpe.merges[1].result, 257);
  EXPECT_TRUE(json->bpe.words.empty());
  ASSERT_EQ(json->added_tokens.size(), 3U);
  EXPECT_EQ(json->added_tokens[1].kind, AddedToken::Kind::kSpecial);
  EXPECT_EQ(json->added_tokens[2].kind, AddedToken::Kind::kPlain);
}

TEST(TokenizerJsonTest, ReadsMergesAsPairs) {
  boost::json::object json = Small();
  json["model"].as_object()["merges"] = Json(R"([["a", "b"], ["ab", "c"]])");
  const absl::StatusOr<TokenizerJson> read = ReadTokenizerJson(json);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->bpe.merges.size(), 2U);
}

TEST(TokenizerJsonTest, AllowsHolesAndTokensThatAreAlsoInTheVocabulary) {
  boost::json::object json = Small();
  json["model"].as_object()["vocab"].as_object()["<s>"] = 258;
  json["model"].as_object()["vocab"].as_object()["far"] = 1000;
  const absl::StatusOr<TokenizerJson> read = ReadTokenizerJson(json);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->pieces.size(), 1001U);
  EXPECT_EQ(read->pieces[999], "");
  EXPECT_EQ(read->pieces[1000], "far");
}

TEST(TokenizerJsonTest, PiecesOutsideOfTheByteAlphabetStandForThemselves) {
  boost::json::object json = Small();
  json["model"].as_object()["vocab"].as_object()["中 "] = 300;
  EXPECT_EQ(ReadTokenizerJson(json)->pieces[300], "中 ");
}

TEST(TokenizerJsonTest, IgnoreMergesListsAllWordsButAddedTokens) {
  boost::json::object json = Small();
  json["model"].as_object()["vocab"].as_object()["<s>"] = 258;
  json["model"].as_object()["ignore_merges"] = true;
  const absl::StatusOr<TokenizerJson> read = ReadTokenizerJson(json);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->bpe.words.size(), 258U);
}

struct Change {
  const char* names;  // a part of the message
  absl::StatusCode code;
  std::function<void(
      boost::json::object& file, boost::json::object& model, boost::json::object& vocab)>
      apply;
};

TEST(TokenizerJsonTest, RefusesAndNamesTheField) {
  using boost::json::object;
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;
  const Change changes[] = {
      {"truncation", kUnimplemented, [](auto& f, auto&, auto&) { f["truncation"] = object(); }},
      {"padding", kUnimplemented, [](auto& f, auto&, auto&) { f["padding"] = object(); }},
      {"normalizer: \"NFC\"",
       kUnimplemented,
       [](auto& f, auto&, auto&) {
         f["normalizer"] = {{"type", "NFC"}};
       }},
      {"normalizer: expected an object",
       kInvalid,
       [](auto& f, auto&, auto&) { f["normalizer"] = 3; }},
      {"decoder: expected", kInvalid, [](auto& f, auto&, auto&) { f.erase("decoder"); }},
      {"decoder.type: only \"ByteLevel\"",
       kUnimplemented,
       [](auto& f, auto&, auto&) {
         f["decoder"] = {{"type", "Fuse"}};
       }},
      {"pre_tokenizer: expected",
       kInvalid,
       [](auto& f, auto&, auto&) { f.erase("pre_tokenizer"); }},
      {"model.type: only \"BPE\"",
       kUnimplemented,
       [](auto&, auto& m, auto&) { m["type"] = "Unigram"; }},
      {"model.dropout", kUnimplemented, [](auto&, auto& m, auto&) { m["dropout"] = 0.1; }},
      {"model.continuing_subword_prefix: only \"\"",
       kUnimplemented,
       [](auto&, auto& m, auto&) { m["continuing_subword_prefix"] = "##"; }},
      {"model.end_of_word_suffix",
       kUnimplemented,
       [](auto&, auto& m, auto&) { m["end_of_word_suffix"] = "</w>"; }},
      {"model.byte_fallback",
       kUnimplemented,
       [](auto&, auto& m, auto&) { m["byte_fallback"] = true; }},
      {"model.ignore_merges: expected true or false",
       kInvalid,
       [](auto&, auto& m, auto&) { m["ignore_merges"] = 1; }},
      {"model.vocab: expected", kInvalid, [](auto&, auto& m, auto&) { m.erase("vocab"); }},
      {"model.vocab[\"z\"]", kInvalid, [](auto&, auto&, auto& v) { v["z"] = -1; }},
      {"model.vocab[\"z\"]", kInvalid, [](auto&, auto&, auto& v) { v["z"] = 1 << 24; }},
      {"model.vocab[\"z\"]", kInvalid, [](auto&, auto&, auto& v) { v["z"] = "1"; }},
      {"is taken", kInvalid, [](auto&, auto&, auto& v) { v["zz"] = 5; }},
      {"empty piece", kInvalid, [](auto&, auto&, auto& v) { v[""] = 900; }},
      {"no piece for byte 0x41", kInvalid, [](auto&, auto&, auto& v) { v.erase("A"); }},
      {"model.merges: expected", kInvalid, [](auto&, auto& m, auto&) { m.erase("merges"); }},
      {"model.merges: expected \"a b\"",
       kInvalid,
       [](auto&, auto& m, auto&) { m["merges"] = Json(R"(["a b c"])"); }},
      {"model.merges: expected \"a b\"",
       kInvalid,
       [](auto&, auto& m, auto&) { m["merges"].as_array().emplace_back(7); }},
      {"model.merges[2]: \"q\" + \"r\"",
       kInvalid,
       [](auto&, auto& m, auto&) { m["merges"].as_array().emplace_back("q r"); }},
      {"model.merges[2]: occurs twice",
       kInvalid,
       [](auto&, auto& m, auto&) { m["merges"].as_array().emplace_back("a b"); }},
      {"model.merges[2]: makes the added token",
       kInvalid,
       [](auto& f, auto& m, auto& v) {
         v["<>"] = 400;
         m["merges"].as_array().emplace_back("< >");
         f["added_tokens"].as_array().push_back({{"id", 400}, {"content", "<>"}});
       }},
      {"no piece for byte 0x41",
       kInvalid,
       [](auto& f, auto&, auto&) {
         f["added_tokens"].as_array().push_back({{"id", 0x41}, {"content", "A"}});
       }},
      {"added_tokens[0].id: expected",
       kInvalid,
       [](auto& f, auto&, auto&) { f["added_tokens"] = Json(R"([{"content": "x"}])"); }},
      {"added_tokens[0].content: empty",
       kInvalid,
       [](auto& f, auto&, auto&) { f["added_tokens"] = Json(R"([{"id": 400, "content": ""}])"); }},
      {"added_tokens[3]: id or content occurs twice",
       kInvalid,
       [](auto& f, auto&, auto&) {
         f["added_tokens"].as_array().push_back({{"id", 400}, {"content", "<s>"}});
       }},
      {"contradict model.vocab",
       kInvalid,
       [](auto& f, auto&, auto&) {
         f["added_tokens"] = Json(R"([{"id": 256, "content": "x1"}])");
       }},
      {"contradict model.vocab",
       kInvalid,
       [](auto& f, auto&, auto&) {
         f["added_tokens"] = Json(R"([{"id": 400, "content": "abc"}])");
       }},
  };
  for (const auto& [names, code, apply] : changes) {
    boost::json::object json = Small();
    boost::json::object& model = json["model"].as_object();
    apply(json, model, model["vocab"].as_object());
    const absl::Status status = ReadTokenizerJson(json).status();
    EXPECT_EQ(status.code(), code) << names << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(names));
  }
}

}  // namespace
}  // namespace hadal
