#include "engine/text/tokenizer_config.h"

#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "tests/support/test_folder.h"

namespace hadal {
namespace {

using testing::HasSubstr;

absl::StatusOr<TokenizerConfig> Read(std::string_view json) {
  return ReadTokenizerConfig(*ParseJson(json));
}

TEST(TokenizerConfigTest, ReadsStringsAndAddedTokenObjects) {
  const absl::StatusOr<TokenizerConfig> config =
      Read(R"({"add_bos_token": false, "bos_token": "<s>", "eos_token": {"content": "</s>"},
               "chat_template": "T"})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->add_bos_token, false);
  EXPECT_EQ(config->bos_token, "<s>");
  EXPECT_EQ(config->eos_token, "</s>");
  EXPECT_EQ(config->chat_template, "T");
}

TEST(TokenizerConfigTest, EveryFieldMayBeMissingOrNull) {
  for (const char* json : {"{}", R"({"bos_token": null, "chat_template": null})"}) {
    const absl::StatusOr<TokenizerConfig> config = Read(json);
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_FALSE(config->add_bos_token.has_value());
    EXPECT_FALSE(config->bos_token.has_value());
    EXPECT_FALSE(config->eos_token.has_value());
    EXPECT_FALSE(config->chat_template.has_value());
  }
}

TEST(TokenizerConfigTest, TakesTheDefaultOfSeveralTemplates) {
  const absl::StatusOr<TokenizerConfig> config =
      Read(R"({"chat_template": [{"name": "rag", "template": "R"},
                                 {"name": "default", "template": "D"}]})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->chat_template, "D");
}

TEST(TokenizerConfigTest, RefusesAndNamesTheField) {
  const std::pair<const char*, const char*> refusals[] = {
      {R"([])", "tokenizer_config.json"},
      {R"({"add_bos_token": "yes"})", "add_bos_token"},
      {R"({"bos_token": 1})", "bos_token"},
      {R"({"eos_token": {}})", "eos_token.content: expected"},
      {R"({"chat_template": {}})", "chat_template"},
      {R"({"chat_template": [{"name": "rag", "template": "R"}]})", "\"default\""},
      {R"({"chat_template": [{"name": "rag"}]})", "chat_template[0].template: expected"},
  };
  for (const auto& [json, names] : refusals) {
    const absl::Status status = Read(json).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << json;
    EXPECT_THAT(std::string(status.message()), HasSubstr(names));
  }
}

TEST(TokenizerConfigTest, ReadsThePublishedFileAndForgivesAMissingOne) {
  const absl::StatusOr<TokenizerConfig> config = ReadTokenizerConfigFile(
      HADAL_SOURCE_DIR "/tests/data/deepseek-v3-tokenizer/tokenizer_config.json");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->add_bos_token, true);
  EXPECT_EQ(config->bos_token, "<｜begin▁of▁sentence｜>");
  EXPECT_THAT(*config->chat_template, HasSubstr("<｜User｜>"));
  EXPECT_TRUE(ReadTokenizerConfigFile("/nonexistent/tokenizer_config.json").ok());
  EXPECT_FALSE(ReadTokenizerConfigFile(HADAL_SOURCE_DIR "/LICENSE").ok());
}

class ChatTemplateFileTest : public testing::Test {
 protected:
  void Write(const std::string& name, std::string_view text) {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << text;
  }

  [[nodiscard]] absl::StatusOr<TokenizerConfig> Read() const {
    return ReadTokenizerConfigFile(folder_ + "/tokenizer_config.json");
  }

  const std::string folder_ = FreshTestFolder();
};

TEST_F(ChatTemplateFileTest, GivesTheTemplate) {
  Write("tokenizer_config.json", R"({"bos_token": "<s>"})");
  Write("chat_template.jinja", "{{ '<｜User｜>' }}\n");
  const absl::StatusOr<TokenizerConfig> config = Read();
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->bos_token, "<s>");
  EXPECT_EQ(config->chat_template, "{{ '<｜User｜>' }}\n");
}

TEST_F(ChatTemplateFileTest, OverridesTheKeyAndNeedsNoOtherFile) {
  Write("chat_template.jinja", "file");
  EXPECT_EQ(Read()->chat_template, "file");
  Write("tokenizer_config.json", R"({"chat_template": "key"})");
  EXPECT_EQ(Read()->chat_template, "file");
  std::filesystem::remove(folder_ + "/chat_template.jinja");
  EXPECT_EQ(Read()->chat_template, "key");
}

TEST_F(ChatTemplateFileTest, RefusesAndNamesTheFile) {
  const std::string large(size_t{17} << 20U, ' ');
  const std::pair<std::string_view, const char*> refusals[] = {{"ab\xFF", "not UTF-8 at byte 2"},
                                                               {large, "chat_template.jinja"}};
  for (const auto& [text, names] : refusals) {
    Write("chat_template.jinja", text);
    const absl::Status status = Read().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("chat_template.jinja"));
    EXPECT_THAT(std::string(status.message()), HasSubstr(names));
  }
}

}  // namespace
}  // namespace hadal
