#include "engine/text/tokenizer.h"

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/text/stream_decoder.h"
#include "tests/engine/text/small_tokenizer.h"

namespace hadal {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<TokenId> EncodeOrDie(const Tokenizer& tokenizer, std::string_view text) {
  absl::StatusOr<std::vector<TokenId>> ids = tokenizer.Encode(text);
  EXPECT_TRUE(ids.ok()) << ids.status();
  return ids.ok() ? *std::move(ids) : std::vector<TokenId>();
}

class TokenizerTest : public testing::Test {
 protected:
  const Tokenizer small_ = *Tokenizer::FromJson(SmallTokenizerText());
};

TEST_F(TokenizerTest, MergesByRankThenFromTheLeft) {
  EXPECT_THAT(EncodeOrDie(small_, ""), IsEmpty());
  EXPECT_THAT(EncodeOrDie(small_, "abc"), ElementsAre(257));
  EXPECT_THAT(EncodeOrDie(small_, "bc"), ElementsAre(259));
  EXPECT_THAT(EncodeOrDie(small_, "aab"), ElementsAre('a', 256));
  EXPECT_THAT(EncodeOrDie(small_, "aaa"), ElementsAre(260, 'a'));
  EXPECT_THAT(EncodeOrDie(small_, "ab abc ab"), ElementsAre(256, ' ', 257, 258));
  EXPECT_THAT(EncodeOrDie(small_, "é"), ElementsAre(0xC3, 0xA9));
}

// Words of more than 32 bytes take another path; it must give the same tokens.
TEST_F(TokenizerTest, LongWordsMergeLikeShortOnes) {
  for (int32_t size = 20; size < 45; ++size) {
    std::string word;
    std::vector<TokenId> expected;
    for (int32_t i = 0; i < size; ++i) {
      word += "aabc";
      expected.insert(expected.end(), {'a', 257});
    }
    EXPECT_EQ(EncodeOrDie(small_, word), expected) << size;
  }
  EXPECT_EQ(EncodeOrDie(small_, std::string(1001, 'a')).size(), 501U);
  EXPECT_EQ(EncodeOrDie(small_, std::string(64, 'x')), std::vector<TokenId>(64, 'x'));
}

TEST_F(TokenizerTest, AddedTokensComeByNameOnly) {
  EXPECT_EQ(small_.FindAddedToken("<think>"), 265);
  EXPECT_EQ(small_.FindAddedToken("<think"), std::nullopt);
  EXPECT_EQ(small_.FindAddedToken("ab"), std::nullopt);
  EXPECT_TRUE(small_.IsAdded(265));
  EXPECT_FALSE(small_.IsSpecial(265));
  EXPECT_TRUE(small_.IsSpecial(261));
  EXPECT_FALSE(small_.IsAdded(260));
  for (const char* text : {"<think>",
                           "x<｜Assistant｜>",
                           "<｜end▁of▁sentence｜>",
                           "<｜begin▁of▁sentence｜><｜User｜>",
                           "</think></think>"}) {
    const std::vector<TokenId> ids = EncodeOrDie(small_, text);
    for (const TokenId id : ids) {
      EXPECT_FALSE(small_.IsAdded(id)) << text;
    }
    EXPECT_EQ(Decode(small_, ids, SpecialTokens::kShow), text);
  }
}

TEST_F(TokenizerTest, IdsOutsideOfTheVocabularyAreEmpty) {
  EXPECT_EQ(small_.vocab_size(), 267);
  EXPECT_EQ(small_.Piece(257), "abc");
  for (const TokenId id : {-1, 267, 1 << 30}) {
    EXPECT_EQ(small_.Piece(id), "");
    EXPECT_FALSE(small_.IsAdded(id));
    EXPECT_FALSE(small_.IsSpecial(id));
  }
}

TEST_F(TokenizerTest, RefusesInvalidUtf8WithItsPlace) {
  const absl::Status status = small_.Encode("ab\xC3(").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("byte 2"));
  EXPECT_FALSE(small_.Encode("\xED\xA0\x80").ok());
}

TEST_F(TokenizerTest, PrefixSpace) {
  boost::json::object json = SmallTokenizerJson({}, {});
  json["pre_tokenizer"].as_object()["add_prefix_space"] = true;
  const Tokenizer tokenizer = *Tokenizer::FromJson(boost::json::serialize(json));
  EXPECT_THAT(EncodeOrDie(tokenizer, "a"), ElementsAre(' ', 'a'));
  EXPECT_THAT(EncodeOrDie(tokenizer, " a"), ElementsAre(' ', 'a'));
  EXPECT_THAT(EncodeOrDie(tokenizer, ""), IsEmpty());
}

TEST_F(TokenizerTest, IgnoreMergesTakesWholeWordsFirst) {
  const std::vector<std::string> merges = {"a b", "b c", "a bc"};
  boost::json::object json = SmallTokenizerJson(merges, {});
  EXPECT_THAT(EncodeOrDie(*Tokenizer::FromJson(boost::json::serialize(json)), "abc"),
              ElementsAre(256, 'c'));
  json["model"].as_object()["ignore_merges"] = true;
  EXPECT_THAT(EncodeOrDie(*Tokenizer::FromJson(boost::json::serialize(json)), "abc"),
              ElementsAre(258));
}

TEST_F(TokenizerTest, ErrorsNameTheFile) {
  EXPECT_EQ(Tokenizer::FromFile("/nonexistent/tokenizer.json").status().code(),
            absl::StatusCode::kNotFound);
  const absl::Status status =
      Tokenizer::FromFile(HADAL_SOURCE_DIR
                          "/tests/data/deepseek-v3-tokenizer/tokenizer_config.json")
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("tokenizer_config.json"));
  EXPECT_EQ(Tokenizer::FromJson("{").status().code(), absl::StatusCode::kInvalidArgument);
}

class V3TokenizerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    tokenizer_ = std::make_unique<const Tokenizer>(
        *Tokenizer::FromFile(HADAL_SOURCE_DIR "/tests/data/deepseek-v3-tokenizer/tokenizer.json"));
  }
  static void TearDownTestSuite() { tokenizer_.reset(); }

  static std::unique_ptr<const Tokenizer> tokenizer_;
};

std::unique_ptr<const Tokenizer> V3TokenizerTest::tokenizer_;

TEST_F(V3TokenizerTest, PublishedVectors) {
  EXPECT_EQ(tokenizer_->vocab_size(), 128815);
  EXPECT_THAT(EncodeOrDie(*tokenizer_, "ABCD"), ElementsAre(51453));
  EXPECT_THAT(EncodeOrDie(*tokenizer_, "\n"), ElementsAre(201));
  EXPECT_EQ(tokenizer_->FindAddedToken("<｜begin▁of▁sentence｜>"), 0);
  EXPECT_EQ(tokenizer_->FindAddedToken("<｜User｜>"), 128803);
  EXPECT_EQ(tokenizer_->FindAddedToken("<｜Assistant｜>"), 128804);
  EXPECT_TRUE(tokenizer_->IsSpecial(1));
  EXPECT_FALSE(tokenizer_->IsSpecial(128803));
}

// Ids from tokenizers 0.23.3.
TEST_F(V3TokenizerTest, GoldenIds) {
  EXPECT_THAT(EncodeOrDie(*tokenizer_, "Hello, world!"), ElementsAre(19923, 14, 2058, 3));
  EXPECT_THAT(EncodeOrDie(*tokenizer_, "def f(x):\n\treturn x**2"),
              ElementsAre(3465, 285, 4042, 3395, 5562, 1527, 666, 20));
  EXPECT_THAT(
      EncodeOrDie(*tokenizer_, "深度求索 V3 有 6710 亿参数。"),
      ElementsAre(17180, 1645, 4568, 721, 21, 223, 450, 223, 26612, 18, 223, 5528, 10602, 320));
  EXPECT_THAT(EncodeOrDie(*tokenizer_, "e\u0301 👩‍👧 ١٢٣"),
              ElementsAre(71, 17793, 52780, 105, 46088, 25730, 103, 223, 63468, 76647, 127056));
  EXPECT_THAT(EncodeOrDie(*tokenizer_, "a  \r\n\r\n b\u3000\u2028c"),
              ElementsAre(67, 262, 204, 201, 204, 201, 291, 18524, 300, 104, 69));
}

TEST_F(V3TokenizerTest, AMebibyteOfAnythingIsFast) {
  for (const std::string unit : {"a", " ", "\n", "1", "=", "中あア。", "\u3000", "zqxj"}) {
    std::string text;
    while (text.size() < size_t{1} << 20U) {
      text += unit;
    }
    const auto begin = std::chrono::steady_clock::now();
    const std::vector<TokenId> ids = EncodeOrDie(*tokenizer_, text);
    // Generous, for slow machines and sanitizers; a quadratic path takes minutes.
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20)) << unit;
    EXPECT_EQ(Decode(*tokenizer_, ids, SpecialTokens::kShow), text);
  }
}

TEST_F(V3TokenizerTest, ThreadsShareIt) {
  const std::string text = "Threads share one tokenizer; 线程共享 123456. ";
  const std::vector<TokenId> expected = EncodeOrDie(*tokenizer_, text + text);
  std::vector<std::thread> threads;
  for (int32_t i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int32_t round = 0; round < 50; ++round) {
        EXPECT_EQ(EncodeOrDie(*tokenizer_, text + text), expected);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

}  // namespace
}  // namespace hadal
