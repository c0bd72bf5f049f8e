#include "server/config/effective_config.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/config/config_file.h"
#include "server/config/config_value.h"

namespace hadal {
namespace {

using testing::HasSubstr;

void Set(EffectiveConfig& config,
         std::string_view section,
         std::string_view name,
         std::vector<std::string> texts,
         ConfigSource source) {
  const absl::Status status = config.Set(*FindConfigKey(section, name), texts, source);
  ASSERT_TRUE(status.ok()) << status;
}

void ExpectReadsBack(const EffectiveConfig& config) {
  EffectiveConfig again;
  const absl::Status status = ApplyConfigText(config.ToYaml(), "c.yaml", again);
  ASSERT_TRUE(status.ok()) << status << "\n" << config.ToYaml();
  for (const ConfigKey& key : ConfigKeys()) {
    EXPECT_EQ(YamlOf(key, again.config()), YamlOf(key, config.config())) << PathOf(key);
    EXPECT_EQ(again.SourceOf(key), ConfigSource::kFile);
  }
  EXPECT_EQ(again.config().model.names, config.config().model.names);
  EXPECT_EQ(again.config().model.path, config.config().model.path);
  EXPECT_EQ(again.config().http.header_timeout, config.config().http.header_timeout);
}

TEST(EffectiveConfigTest, EachValueIsPrintedWithItsSource) {
  EffectiveConfig config;
  ASSERT_TRUE(ApplyConfigText("http: {port: 9000, host: '::1'}", "c.yaml", config).ok());
  Set(config, "http", "port", {"9001"}, ConfigSource::kFlag);
  Set(config, "model", "names", {"a", "b"}, ConfigSource::kFlag);
  const std::string yaml = config.ToYaml();
  EXPECT_THAT(yaml, HasSubstr("\nhttp:\n  host: \"::1\"  # file\n  port: 9001  # flag\n"));
  EXPECT_THAT(yaml, HasSubstr("  names: [\"a\", \"b\"]  # flag\n"));
  EXPECT_THAT(yaml, HasSubstr("  allowed_origins: []  # default\n"));
  EXPECT_THAT(yaml, HasSubstr("  max_body_bytes: 8MiB  # default\n"));
  EXPECT_THAT(yaml, HasSubstr("  log_level: info  # default\n"));
  EXPECT_THAT(yaml, HasSubstr("  target_step_ms: 50  # default\n"));
}

TEST(EffectiveConfigTest, WhatIsPrintedReadsBackTheSame) {
  EffectiveConfig config;
  ExpectReadsBack(config);
  Set(config,
      "model",
      "path",
      {"/a: b/#c/\"d\"\\e 'f' \xE2\x80\xA8 \xC3\xA9 \xF0\x9F\x98\x80"},
      ConfigSource::kFlag);
  Set(config,
      "model",
      "names",
      {"true", "~", "null", "- x", "[y]", "*z", "&a", "!t", "%", "1.0", "? q"},
      ConfigSource::kFlag);
  Set(config, "http", "header_timeout", {"0.30000000000000004"}, ConfigSource::kFlag);
  Set(config, "http", "max_body_bytes", {"1025"}, ConfigSource::kFlag);
  Set(config, "operations", "log_requests", {"false"}, ConfigSource::kFlag);
  Set(config, "operations", "log_level", {"error"}, ConfigSource::kFlag);
  Set(config, "scheduling", "min_priority", {"-7"}, ConfigSource::kFlag);
  ExpectReadsBack(config);
}

TEST(EffectiveConfigTest, ARefusedValueLeavesValueAndSource) {
  EffectiveConfig config;
  const ConfigKey& port = *FindConfigKey("http", "port");
  EXPECT_TRUE(absl::IsInvalidArgument(
      config.Set(port, std::vector<std::string>{"x"}, ConfigSource::kFlag)));
  EXPECT_EQ(config.config().http.port, 8000);
  EXPECT_EQ(config.SourceOf(port), ConfigSource::kDefault);
}

}  // namespace
}  // namespace hadal
