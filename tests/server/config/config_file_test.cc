#include "server/config/config_file.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/test_folder.h"

namespace hadal {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

EffectiveConfig Read(std::string_view yaml) {
  EffectiveConfig config;
  const absl::Status status = ApplyConfigText(yaml, "c.yaml", config);
  EXPECT_TRUE(status.ok()) << status;
  return config;
}

std::string ErrorOf(std::string_view yaml) {
  EffectiveConfig config;
  const absl::Status status = ApplyConfigText(yaml, "c.yaml", config);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status << " for\n" << yaml;
  return std::string(status.message());
}

TEST(ConfigFileTest, EveryKindOfValueIsRead) {
  const ServerConfig config = Read(R"(# a comment
model:
  path: /models/deepseek-v2-lite
  names: [lite, "deepseek v2"]
  cache_memory: 50%
http:
  port: 0
  max_body_bytes: 16MiB
  header_timeout: 2.5
  allowed_hosts:
    - a.example
    - 'b.example'
grpc:
  reflection: false
operations:
  log_level: warning
security: {cache_sharing: all, api_keys_file: "/run/keys: of\u0020all"}
scheduling:
  max_in_flight_bytes: "1GiB"
  min_priority: -5
)")
                                  .config();
  EXPECT_EQ(config.model.path, "/models/deepseek-v2-lite");
  EXPECT_THAT(config.model.names, ElementsAre("lite", "deepseek v2"));
  EXPECT_EQ(config.model.cache_memory, "50%");
  EXPECT_EQ(config.http.port, 0);
  EXPECT_EQ(config.http.max_body_bytes, 16 << 20);
  EXPECT_EQ(config.http.header_timeout, 2.5);
  EXPECT_THAT(config.http.allowed_hosts, ElementsAre("a.example", "b.example"));
  EXPECT_FALSE(config.grpc.reflection);
  EXPECT_EQ(config.operations.log_level, LogLevel::kWarning);
  EXPECT_EQ(config.security.cache_sharing, "all");
  EXPECT_EQ(config.security.api_keys_file, "/run/keys: of all");
  EXPECT_EQ(config.scheduling.max_in_flight_bytes, 1 << 30);
  EXPECT_EQ(config.scheduling.min_priority, -5);
  EXPECT_EQ(config.http.host, "127.0.0.1") << "what the file does not say stays";
}

TEST(ConfigFileTest, WhatTheFileSaidIsKnownAsItsOwn) {
  const EffectiveConfig config = Read("http: {port: 8000}\n");
  EXPECT_EQ(config.SourceOf(*FindConfigKey("http", "port")), ConfigSource::kFile);
  EXPECT_EQ(config.SourceOf(*FindConfigKey("http", "host")), ConfigSource::kDefault);
}

TEST(ConfigFileTest, NothingIsAConfigurationToo) {
  for (const char* yaml : {"",
                           "\n\n",
                           "# nothing\n",
                           "---\n",
                           "---\n...\n",
                           "~",
                           "{}",
                           "http:\n",
                           "http: {}\n",
                           "http: ~\ngrpc:\n"}) {
    const EffectiveConfig config = Read(yaml);
    EXPECT_EQ(config.config().http.port, 8000) << yaml;
  }
}

TEST(ConfigFileTest, OneTextIsAListOfOne) {
  EXPECT_THAT(Read("model: {names: lite}").config().model.names, ElementsAre("lite"));
  EXPECT_THAT(Read("model: {names: []}").config().model.names, ElementsAre());
}

struct BadFile {
  const char* yaml;
  const char* message;
};

class BadConfigFileTest : public testing::TestWithParam<BadFile> {};

TEST_P(BadConfigFileTest, IsRefusedWithItsLineAndKey) {
  EXPECT_EQ(ErrorOf(GetParam().yaml), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Values,
    BadConfigFileTest,
    testing::Values(
        BadFile{"http:\n  port: abc\n",
                "c.yaml:2: http.port: expected an integer in [0, 65535], found 'abc'"},
        BadFile{"http:\n  port: 65536\n",
                "c.yaml:2: http.port: expected an integer in [0, 65535], found '65536'"},
        BadFile{"http:\n  port: -1\n",
                "c.yaml:2: http.port: expected an integer in [0, 65535], found '-1'"},
        BadFile{"http:\n  port: 8000.0\n",
                "c.yaml:2: http.port: expected an integer in [0, 65535], found '8000.0'"},
        BadFile{"http:\n  port: 010\n",
                "c.yaml:2: http.port: expected an integer in [0, 65535], found '010'"},
        BadFile{"http:\n  port: 99999999999999999999\n",
                "c.yaml:2: http.port: expected an integer in [0, 65535], found "
                "'99999999999999999999'"},
        BadFile{"http:\n  port: \"8000\"\n",
                "c.yaml:2: http.port: expected an integer in [0, 65535], found the text '8000'"},
        BadFile{"http:\n  port:\n", "c.yaml:2: http.port: expected a value, found none"},
        BadFile{"http:\n  port: [1]\n",
                "c.yaml:2: http.port: expected an integer in [0, 65535], found a list"},
        BadFile{"http:\n  port: {a: 1}\n",
                "c.yaml:2: http.port: expected a value, found a mapping"},
        BadFile{"http:\n  max_body_bytes: 8 MiB\n",
                "c.yaml:2: http.max_body_bytes: expected a size in [1KiB, 1GiB], found '8 MiB'"},
        BadFile{"http:\n  max_body_bytes: 2GiB\n",
                "c.yaml:2: http.max_body_bytes: expected a size in [1KiB, 1GiB], found '2GiB'"},
        BadFile{"http:\n  idle_timeout: .nan\n",
                "c.yaml:2: http.idle_timeout: expected a number in [0.1, 86400], found '.nan'"},
        BadFile{"http:\n  idle_timeout: nan\n",
                "c.yaml:2: http.idle_timeout: expected a number in [0.1, 86400], found 'nan'"},
        BadFile{"http:\n  idle_timeout: 75s\n",
                "c.yaml:2: http.idle_timeout: expected a number in [0.1, 86400], found '75s'"},
        BadFile{"grpc:\n  reflection: yes\n",
                "c.yaml:2: grpc.reflection: expected true or false, found 'yes'"},
        BadFile{"grpc:\n  reflection: \"true\"\n",
                "c.yaml:2: grpc.reflection: expected true or false, found the text 'true'"},
        BadFile{
            "operations:\n  log_level: loud\n",
            "c.yaml:2: operations.log_level: expected one of debug, info, warning, error, found "
            "'loud'"},
        BadFile{"model:\n  cache_memory: 101%\n",
                "c.yaml:2: model.cache_memory: expected \"auto\", a size such as 4GiB, or a share "
                "such as 50%, found '101%'"},
        BadFile{"http:\n  host: ''\n",
                "c.yaml:2: http.host: expected a text that is not empty, found ''"},
        BadFile{
            "http:\n  host: \"a\\nb\"\n",
            "c.yaml:2: http.host: expected a text without control characters, found 'a\\u000ab'"},
        BadFile{"model:\n  names: [a, '']\n",
                "c.yaml:2: model.names: expected a text that is not empty, found ''"},
        BadFile{"model:\n  names: [a, [b]]\n",
                "c.yaml:2: model.names: expected texts, found a list"},
        BadFile{"model:\n  names: [a, ~]\n", "c.yaml:2: expected a text, found nothing"},
        BadFile{
            "security:\n  api_keys_variable: A-B\n",
            "c.yaml:2: security.api_keys_variable: expected the name of an environment variable: "
            "letters, digits and '_', found 'A-B'"}));

INSTANTIATE_TEST_SUITE_P(
    Keys,
    BadConfigFileTest,
    testing::Values(
        BadFile{"htp:\n  port: 1\n", "c.yaml:1: unknown section 'htp'; did you mean http?"},
        BadFile{"database:\n  port: 1\n", "c.yaml:1: unknown section 'database'"},
        BadFile{"http:\n  prot: 1\n",
                "c.yaml:2: unknown key 'prot' in section http; did you mean http.port?"},
        BadFile{"http:\n\n  max_step_tokens: 1\n",
                "c.yaml:3: unknown key 'max_step_tokens' in section http; did you mean "
                "scheduling.max_step_tokens?"},
        BadFile{"http:\n  colour: red\n", "c.yaml:2: unknown key 'colour' in section http"},
        BadFile{"http:\n  Port: 1\n",
                "c.yaml:2: unknown key 'Port' in section http; did you mean http.port?"},
        BadFile{"http:\n  port: 1\n  host: a\n  port: 2\n",
                "c.yaml:4: http.port stands in line 2 already"},
        BadFile{"http:\n  port: 1\ngrpc:\n  port: 2\nhttp:\n  host: a\n",
                "c.yaml:5: section http stands in line 1 already"},
        BadFile{"port: 1\n", "c.yaml:1: port: expected keys, found a text"},
        BadFile{"http: [1]\n", "c.yaml:1: http: expected keys, found a list"}));

INSTANTIATE_TEST_SUITE_P(
    Documents,
    BadConfigFileTest,
    testing::Values(BadFile{"text", "c.yaml:1: expected sections such as \"http:\", found a text"},
                    BadFile{"- a\n", "c.yaml:1: expected sections such as \"http:\", found a list"},
                    BadFile{"http: {port: 1}\n---\nhttp: {port: 2}\n",
                            "c.yaml: expected one document, found several"},
                    BadFile{"http: &a\n  port: 1\n", "c.yaml:1: anchors are not supported"},
                    BadFile{"http:\n  port: &a 1\n", "c.yaml:2: anchors are not supported"},
                    BadFile{"http:\n  port: !!int 1\n", "c.yaml:2: tags are not supported"},
                    BadFile{"? [a, b]\n: 1\n", "c.yaml:1: expected a name, found a list"},
                    BadFile{"http:\n  ? {a: b}\n  : 1\n",
                            "c.yaml:2: expected a name, found a mapping"},
                    BadFile{"http:\n  \xFF: 1\n", "c.yaml: the file is not text in UTF-8"},
                    BadFile{"http: {port: 1\n", "c.yaml:2: end of map flow not found"}));

TEST(ConfigFileTest, AliasesCannotGrowIntoABomb) {
  EXPECT_THAT(ErrorOf("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"), HasSubstr("not supported"));
  EXPECT_THAT(ErrorOf("http:\n  port: *a\n"), HasSubstr("c.yaml:2: "));
}

TEST(ConfigFileTest, DepthIsBounded) {
  EXPECT_THAT(ErrorOf(std::string(200'000, '[')), HasSubstr("c.yaml:1: "));
  EXPECT_THAT(ErrorOf(std::string(200'000, '{')), HasSubstr("c.yaml:1: "));
}

TEST(ConfigFileTest, ZeroBytesAndOtherEncodingsAreNoText) {
  EXPECT_THAT(ErrorOf(std::string_view("http:\0", 6)), HasSubstr("not text in UTF-8"));
  EXPECT_THAT(ErrorOf("\xFF\xFEh"), HasSubstr("not text in UTF-8"));
}

TEST(ConfigFileTest, LongValuesAreCutInMessages) {
  EXPECT_EQ(ErrorOf("http: {port: " + std::string(1000, 'x') + "}"),
            "c.yaml:1: http.port: expected an integer in [0, 65535], found '" +
                std::string(64, 'x') + "…'");
  EXPECT_THAT(ErrorOf("http: {host: " + std::string(4097, 'x') + "}"),
              HasSubstr("expected a text of at most 4096 bytes"));
}

TEST(ConfigFileTest, ListsAreBounded) {
  std::string yaml = "model:\n  names:\n";
  for (int i = 0; i < 256; ++i) {
    yaml += "    - n\n";
  }
  EXPECT_EQ(Read(yaml).config().model.names.size(), 256U);
  EXPECT_EQ(ErrorOf(yaml + "    - n\n"),
            "c.yaml:2: model.names: expected at most 256 items, found 257");
}

TEST(ConfigFileTest, FilesAreReadUpToOneMebibyte) {
  const std::string path = FreshTestFolder() + "/hadal.yaml";
  EffectiveConfig config;
  EXPECT_TRUE(absl::IsNotFound(ApplyConfigFile(path, config)));
  const std::string yaml = "http: {port: 8123}\n#";
  std::ofstream(path) << yaml << std::string((1 << 20) - yaml.size(), '#');
  const absl::Status status = ApplyConfigFile(path, config);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(config.config().http.port, 8123);
  std::ofstream(path, std::ios::app) << "#";
  EXPECT_TRUE(absl::IsInvalidArgument(ApplyConfigFile(path, config)));
  EXPECT_TRUE(
      absl::IsInvalidArgument(ApplyConfigText(std::string((1 << 20) + 1, '#'), "c.yaml", config)));
  std::ofstream(path) << "http:\n  port: x\n";
  EXPECT_THAT(std::string(ApplyConfigFile(path, config).message()),
              HasSubstr(path + ":2: http.port: "));
}

}  // namespace
}  // namespace hadal
