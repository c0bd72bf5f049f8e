#include "engine/text/stream_decoder.h"

#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/utf8.h"
#include "tests/engine/text/small_tokenizer.h"

namespace hadal {
namespace {

class StreamDecoderTest : public testing::Test {
 protected:
  const Tokenizer tokenizer_ = *Tokenizer::FromJson(SmallTokenizerText());
};

TEST_F(StreamDecoderTest, HoldsBackUntilACharacterIsWhole) {
  StreamDecoder decoder(tokenizer_, SpecialTokens::kHide);
  EXPECT_EQ(decoder.Push(256), "ab");
  EXPECT_EQ(decoder.Push(0xE4), "");
  EXPECT_EQ(decoder.Push(0xB8), "");
  EXPECT_EQ(decoder.Push(0xAD), "中");
  EXPECT_EQ(decoder.Finish(), "");
}

TEST_F(StreamDecoderTest, ReplacesWhatCanNoLongerBeACharacter) {
  StreamDecoder decoder(tokenizer_, SpecialTokens::kHide);
  EXPECT_EQ(decoder.Push(0xFF), "\uFFFD");
  EXPECT_EQ(decoder.Push(0xE4), "");
  EXPECT_EQ(decoder.Push('x'), "\uFFFDx");
  EXPECT_EQ(decoder.Push(0xF0), "");
  EXPECT_EQ(decoder.Push(0x9F), "");
  EXPECT_EQ(decoder.Finish(), "\uFFFD");
  EXPECT_EQ(decoder.Push('y'), "y");
}

TEST_F(StreamDecoderTest, HidesOrShowsSpecialTokens) {
  const std::vector<TokenId> ids = {261, 'a', 265, 'b', 262, 9999, -5};
  EXPECT_EQ(Decode(tokenizer_, ids, SpecialTokens::kHide), "a<think>b");
  EXPECT_EQ(Decode(tokenizer_, ids, SpecialTokens::kShow),
            "<｜begin▁of▁sentence｜>a<think>b<｜end▁of▁sentence｜>");
  // A hidden token does not come between the bytes of a character.
  EXPECT_EQ(Decode(tokenizer_, std::vector<TokenId>{0xC3, 262, 0xA9}, SpecialTokens::kHide), "é");
}

TEST_F(StreamDecoderTest, PushesJoinedAreTheDecodingOfAll) {
  std::mt19937 random(std::random_device{}());
  for (int32_t round = 0; round < 2000; ++round) {
    std::vector<TokenId> ids;
    const SpecialTokens special = round % 2 == 0 ? SpecialTokens::kHide : SpecialTokens::kShow;
    StreamDecoder decoder(tokenizer_, special);
    std::string streamed;
    for (int32_t i = 0; i < 30; ++i) {
      // Mostly bytes that begin or continue characters.
      ids.push_back(random() % 4 == 0 ? static_cast<TokenId>(random() % 270)
                                      : static_cast<TokenId>(0x80 + random() % 0x80));
      const std::string text = decoder.Push(ids.back());
      ASSERT_EQ(ValidUtf8Prefix(text), text.size());
      streamed += text;
    }
    streamed += decoder.Finish();
    ASSERT_EQ(streamed, Decode(tokenizer_, ids, special)) << testing::PrintToString(ids);
  }
}

}  // namespace
}  // namespace hadal
