#include "engine/text/chat/chat_format.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/text/small_tokenizer.h"

namespace hadal {
namespace {

using testing::HasSubstr;

Tokenizer WithTokens(const std::vector<std::string>& added) {
  return *Tokenizer::FromJson(boost::json::serialize(SmallTokenizerJson({}, added)));
}

const std::vector<std::string> kSentence = {"<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"};
const std::vector<std::string> kRoles = {
    "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"};

TokenizerConfig WithTemplate(const std::string& text) {
  TokenizerConfig config;
  config.chat_template = text;
  return config;
}

TEST(ChatFormatTest, TheTemplateDecides) {
  const Tokenizer tokenizer = *Tokenizer::FromJson(SmallTokenizerText());
  const std::pair<const char*, ChatFormat> cases[] = {
      {"{{ 'User: ' + message['content'] }}", ChatFormat::kV2},
      {"{{'<｜User｜>' + message['content']}}", ChatFormat::kV3},
      {"{{'<｜User｜>'}} {{ content.split('</think>')[-1] }}", ChatFormat::kR1},
      {"{% if not thinking %}{{'</think>'}}{% endif %}{{'<｜User｜>'}}", ChatFormat::kV31},
  };
  for (const auto& [text, format] : cases) {
    const absl::StatusOr<ChatFormat> detected =
        DetectChatFormat(tokenizer, WithTemplate(text), "deepseek_v3");
    ASSERT_TRUE(detected.ok()) << detected.status();
    EXPECT_EQ(*detected, format) << text;
  }
}

TEST(ChatFormatTest, KnowsThePublishedV3) {
  const std::string folder = HADAL_SOURCE_DIR "/tests/data/deepseek-v3-tokenizer/";
  const absl::StatusOr<Tokenizer> tokenizer = Tokenizer::FromFile(folder + "tokenizer.json");
  const absl::StatusOr<TokenizerConfig> config =
      ReadTokenizerConfigFile(folder + "tokenizer_config.json");
  ASSERT_TRUE(tokenizer.ok() && config.ok());
  EXPECT_EQ(*DetectChatFormat(*tokenizer, *config, "deepseek_v3"), ChatFormat::kV3);
  EXPECT_EQ(*DetectChatFormat(*tokenizer, TokenizerConfig{}, "deepseek_v3"), ChatFormat::kV3);
}

TEST(ChatFormatTest, WithoutATemplateTheTokensDecideIfTheyCan) {
  EXPECT_EQ(*DetectChatFormat(WithTokens(kSentence), {}, "deepseek_v2"), ChatFormat::kV2);
  EXPECT_EQ(*DetectChatFormat(WithTokens(kRoles), {}, "deepseek_v2"), ChatFormat::kV3);
  const Tokenizer thinking = *Tokenizer::FromJson(SmallTokenizerText());
  EXPECT_EQ(DetectChatFormat(thinking, {}, "deepseek_v3").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ChatFormatTest, RefusesWhatDoesNotFit) {
  const Tokenizer tokenizer = *Tokenizer::FromJson(SmallTokenizerText());
  for (const char* model_type : {"llama", "deepseek_v32", "kimi_k2"}) {
    const absl::Status status =
        DetectChatFormat(tokenizer, WithTemplate("User: "), model_type).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
    EXPECT_THAT(std::string(status.message()), HasSubstr(model_type));
  }
  EXPECT_EQ(DetectChatFormat(tokenizer, WithTemplate("<｜DSML｜ <｜User｜>"), "deepseek_v3")
                .status()
                .code(),
            absl::StatusCode::kUnimplemented);
  EXPECT_EQ(
      DetectChatFormat(tokenizer, WithTemplate("<|im_start|>"), "deepseek_v3").status().code(),
      absl::StatusCode::kInvalidArgument);
  const absl::Status lacking =
      DetectChatFormat(WithTokens(kRoles), WithTemplate("<｜User｜></think>"), "deepseek_v3")
          .status();
  EXPECT_EQ(lacking.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(lacking.message()), HasSubstr("\"<think>\""));
  EXPECT_FALSE(DetectChatFormat(WithTokens({}), {}, "deepseek_v2").ok());
}

TEST(ChatFormatTest, Names) {
  EXPECT_EQ(NameOf(ChatFormat::kV2), "v2");
  EXPECT_EQ(NameOf(ChatFormat::kV3), "v3");
  EXPECT_EQ(NameOf(ChatFormat::kR1), "r1");
  EXPECT_EQ(NameOf(ChatFormat::kV31), "v31");
}

}  // namespace
}  // namespace hadal
