#include "server/config/server_config.h"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hadal {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string ErrorOf(const std::function<void(ServerConfig&)>& change) {
  ServerConfig config;
  change(config);
  const absl::Status status = ValidateServerConfig(config);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  return std::string(status.message());
}

std::vector<std::string> WarningsOf(const std::function<void(ServerConfig&)>& change) {
  ServerConfig config;
  change(config);
  const absl::Status status = ValidateServerConfig(config);
  EXPECT_TRUE(status.ok()) << status;
  return ConfigWarnings(config);
}

TEST(ServerConfigTest, DefaultsAreValidAndSafe) {
  EXPECT_TRUE(ValidateServerConfig({}).ok());
  EXPECT_THAT(ConfigWarnings({}), IsEmpty());
}

TEST(ServerConfigTest, ValuesOutOfRangeAreNamed) {
  EXPECT_EQ(ErrorOf([](ServerConfig& config) { config.http.port = 70000; }),
            "http.port: expected an integer in [0, 65535], found '70000'");
  EXPECT_EQ(ErrorOf([](ServerConfig& config) { config.scheduling.max_running_sequences = 4097; }),
            "scheduling.max_running_sequences: expected an integer in [1, 4096], found '4097'");
  EXPECT_EQ(ErrorOf([](ServerConfig& config) { config.scheduling.max_step_tokens = 65537; }),
            "scheduling.max_step_tokens: expected an integer in [1, 65536], found '65537'");
  EXPECT_THAT(ErrorOf([](ServerConfig& config) { config.http.max_body_bytes = -1; }),
              HasSubstr("http.max_body_bytes: expected a size in [1KiB, 1GiB], found '-1'"));
  EXPECT_THAT(ErrorOf([](ServerConfig& config) { config.http.body_timeout = 0; }),
              HasSubstr("http.body_timeout: "));
  EXPECT_THAT(ErrorOf([](ServerConfig& config) { config.security.cache_sharing = "some"; }),
              HasSubstr("security.cache_sharing: expected one of tenant, all, found 'some'"));
  EXPECT_THAT(ErrorOf([](ServerConfig& config) {
                config.model.names = {"a", ""};
              }),
              HasSubstr("model.names: "));
}

TEST(ServerConfigTest, ValuesMustAgreeWithEachOther) {
  EXPECT_THAT(ErrorOf([](ServerConfig& config) { config.http.tls_certificate = "c.pem"; }),
              HasSubstr("http.tls_key: "));
  EXPECT_THAT(ErrorOf([](ServerConfig& config) { config.http.tls_key = "k.pem"; }),
              HasSubstr("http.tls_certificate: "));
  EXPECT_EQ(ErrorOf([](ServerConfig& config) { config.scheduling.max_requests = 63; }),
            "scheduling.max_running_sequences: 64 exceeds max_requests, 63");
  EXPECT_THAT(ErrorOf([](ServerConfig& config) { config.scheduling.max_step_tokens = 63; }),
              HasSubstr("scheduling.max_running_sequences: 64 exceeds max_step_tokens, 63"));
  EXPECT_THAT(ErrorOf([](ServerConfig& config) { config.http.max_body_bytes = 512 << 20; }),
              HasSubstr("http.max_body_bytes: 536870912 exceeds"));
  EXPECT_THAT(ErrorOf([](ServerConfig& config) {
                config.security.api_keys_file = "keys";
                config.security.api_keys_variable = "KEYS";
              }),
              HasSubstr("security.api_keys_variable: "));
}

TEST(ServerConfigTest, ListenersDoNotShareAPort) {
  EXPECT_EQ(ErrorOf([](ServerConfig& config) { config.operations.port = 8000; }),
            "operations.port: 8000 is the port of http.port already");
  EXPECT_EQ(ErrorOf([](ServerConfig& config) {
              config.grpc.port = 8001;
              config.grpc.host = "0.0.0.0";
            }),
            "operations.port: 8001 is the port of grpc.port already");
  ServerConfig config;
  config.http.port = 0;
  config.operations.port = 0;
  EXPECT_TRUE(ValidateServerConfig(config).ok()) << "each takes one that is free";
  config.http.port = 8001;
  config.operations.port = 8001;
  config.operations.host = "127.0.0.2";
  EXPECT_TRUE(ValidateServerConfig(config).ok()) << "other addresses";
}

TEST(ServerConfigTest, OriginsAndHostsHaveTheirForm) {
  ServerConfig config;
  config.http.allowed_origins = {"*", "https://example.org", "http://localhost:3000"};
  config.http.allowed_hosts = {"example.org", "hadal", "hadal:8000"};
  EXPECT_TRUE(ValidateServerConfig(config).ok());
  for (const char* origin : {"example.org", "https://", "https://a/b", "://a", "https://*?"}) {
    EXPECT_THAT(ErrorOf([&](ServerConfig& changed) {
                  changed.http.allowed_origins = {"*", origin};
                }),
                AllOf(HasSubstr("http.allowed_origins: "), HasSubstr(origin)));
  }
  for (const char* host : {"https://a", "a/b", "*", "a b"}) {
    EXPECT_THAT(ErrorOf([&](ServerConfig& changed) { changed.http.allowed_hosts = {host}; }),
                HasSubstr("http.allowed_hosts: "));
  }
}

TEST(ServerConfigTest, WhatIsOpenToOtherMachinesIsWarnedOf) {
  EXPECT_THAT(WarningsOf([](ServerConfig& config) { config.http.host = "0.0.0.0"; }),
              ElementsAre(AllOf(HasSubstr("http.host 0.0.0.0"), HasSubstr("no API keys"))));
  EXPECT_THAT(WarningsOf([](ServerConfig& config) {
                config.http.host = "::";
                config.security.api_keys_file = "keys";
              }),
              ElementsAre(AllOf(HasSubstr("http.host ::"), HasSubstr("without TLS"))));
  EXPECT_THAT(WarningsOf([](ServerConfig& config) {
                config.http.host = "hadal.example.org";
                config.security.api_keys_variable = "KEYS";
                config.http.tls_certificate = "c";
                config.http.tls_key = "k";
              }),
              IsEmpty());
  EXPECT_THAT(WarningsOf([](ServerConfig& config) {
                config.grpc.host = "10.0.0.1";
                config.grpc.port = 9000;
                config.operations.host = "10.0.0.1";
              }),
              ElementsAre(AllOf(HasSubstr("grpc.host"), HasSubstr("without API keys")),
                          HasSubstr("operations.host")));
  EXPECT_THAT(WarningsOf([](ServerConfig& config) { config.grpc.host = "10.0.0.1"; }), IsEmpty())
      << "there is no gRPC";
}

TEST(ServerConfigTest, WhatLeaksBetweenPeopleIsWarnedOf) {
  EXPECT_THAT(WarningsOf([](ServerConfig& config) { config.http.allowed_origins = {"*"}; }),
              ElementsAre(HasSubstr("http.allowed_origins")));
  EXPECT_THAT(WarningsOf([](ServerConfig& config) {
                config.http.allowed_origins = {"*"};
                config.security.api_keys_file = "keys";
                config.security.cache_sharing = "all";
              }),
              ElementsAre(HasSubstr("security.cache_sharing")));
  EXPECT_THAT(WarningsOf([](ServerConfig& config) { config.security.cache_sharing = "all"; }),
              IsEmpty())
      << "there is one tenant";
}

TEST(ServerConfigTest, LoopbackIsKnownInAllItsForms) {
  for (const char* host :
       {"127.0.0.1", "127.8.9.10", "::1", "0:0:0:0:0:0:0:1", "localhost", "LocalHost"}) {
    EXPECT_TRUE(IsLoopback(host)) << host;
  }
  for (const char* host : {"",
                           "0.0.0.0",
                           "::",
                           "128.0.0.1",
                           "10.0.0.1",
                           "127.0.0.1.example.org",
                           "localhost.example.org",
                           "::ffff:10.0.0.1"}) {
    EXPECT_FALSE(IsLoopback(host)) << host;
  }
}

}  // namespace
}  // namespace hadal
