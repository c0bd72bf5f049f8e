#include "server/config/config_keys.h"

#include <algorithm>
#include <set>
#include <string>

#include <absl/strings/ascii.h>
#include <absl/strings/str_replace.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/config/config_value.h"

namespace hadal {
namespace {

// A value of each key's kind that is not the default one.
std::vector<std::string> OtherValue(const ConfigKey& key) {
  const ServerConfig config;
  if (const auto* integer = std::get_if<IntegerField>(&key.field)) {
    const int64_t other = integer->get(config) == integer->max ? integer->min : integer->max;
    return {std::to_string(other)};
  }
  if (const auto* number = std::get_if<NumberField>(&key.field)) {
    return {std::to_string(number->max)};
  }
  if (const auto* flag = std::get_if<BoolField>(&key.field)) {
    return {flag->get(config) ? "false" : "true"};
  }
  if (const auto* choice = std::get_if<ChoiceField>(&key.field)) {
    return {std::string(choice->choices.back())};
  }
  if (std::holds_alternative<ListField>(key.field)) {
    return {"one", "two"};
  }
  return {key.name == "cache_memory" ? "3GiB" : "other"};
}

TEST(ConfigKeysTest, PathsAndFlagsAreUniqueAndWellFormed) {
  std::set<std::string> paths;
  std::set<std::string_view> flags;
  for (const ConfigKey& key : ConfigKeys()) {
    EXPECT_TRUE(paths.insert(PathOf(key)).second) << PathOf(key);
    EXPECT_TRUE(flags.insert(key.flag).second) << key.flag;
    EXPECT_TRUE(key.flag.starts_with("--")) << key.flag;
    EXPECT_EQ(key.flag.find('_'), std::string_view::npos) << key.flag;
    EXPECT_FALSE(key.help.empty() || key.help.ends_with('.')) << PathOf(key);
    EXPECT_FALSE(key.unit.empty()) << PathOf(key);
    EXPECT_EQ(FindConfigKey(key.section, key.name), &key);
  }
  EXPECT_EQ(FindConfigKey("http", "nothing"), nullptr);
  EXPECT_EQ(FindConfigKey("grpc", "max_connections"), nullptr);
}

TEST(ConfigKeysTest, SectionsStandTogether) {
  std::set<std::string_view> seen;
  std::string_view section;
  for (const ConfigKey& key : ConfigKeys()) {
    if (key.section != section) {
      section = key.section;
      EXPECT_TRUE(seen.insert(section).second) << section;
    }
  }
  EXPECT_EQ(seen.size(), 6U);
}

// Each key has a member of its own: setting it changes what it says and nothing else.
TEST(ConfigKeysTest, EachKeySetsItsOwnMember) {
  for (const ConfigKey& key : ConfigKeys()) {
    ServerConfig config;
    const absl::Status status = SetValue(key, OtherValue(key), config);
    ASSERT_TRUE(status.ok()) << PathOf(key) << " " << status;
    const ServerConfig defaults;
    for (const ConfigKey& other : ConfigKeys()) {
      EXPECT_EQ(YamlOf(other, config) == YamlOf(other, defaults), &other != &key)
          << PathOf(key) << " and " << PathOf(other);
    }
  }
}

TEST(ConfigKeysTest, DefaultsAreWithinTheirBounds) {
  const ServerConfig config;
  for (const ConfigKey& key : ConfigKeys()) {
    const absl::Status status = CheckValue(key, config);
    EXPECT_TRUE(status.ok()) << status;
  }
}

TEST(ConfigValueTest, BoundsAreIncluded) {
  for (const ConfigKey& key : ConfigKeys()) {
    ServerConfig config;
    if (const auto* integer = std::get_if<IntegerField>(&key.field)) {
      for (const int64_t value : {integer->min, integer->max}) {
        EXPECT_TRUE(SetValue(key, std::vector{std::to_string(value)}, config).ok()) << PathOf(key);
        EXPECT_EQ(integer->get(config), value);
      }
      for (const int64_t value : {integer->min - 1, integer->max + 1}) {
        EXPECT_FALSE(SetValue(key, std::vector{std::to_string(value)}, config).ok()) << PathOf(key);
        EXPECT_EQ(integer->get(config), integer->max) << "a refused value changes nothing";
      }
    }
  }
}

TEST(ConfigValueTest, SharesOfMemoryAreWholePercents) {
  const ConfigKey& key = *FindConfigKey("model", "cache_memory");
  ServerConfig config;
  for (const char* text : {"auto", "1%", "99%", "100%", "4GiB", "1"}) {
    EXPECT_TRUE(SetValue(key, std::vector<std::string>{text}, config).ok()) << text;
  }
  for (const char* text :
       {"", "Auto", "%", "0%", "101%", "050%", "-1%", "1.5%", "0", "4 GiB", "0GiB"}) {
    EXPECT_FALSE(SetValue(key, std::vector<std::string>{text}, config).ok()) << text;
  }
}

TEST(ConfigValueTest, AValueIsNotAList) {
  ServerConfig config;
  const ConfigKey& key = *FindConfigKey("http", "port");
  for (const auto& texts : {std::vector<std::string>{}, std::vector<std::string>{"1", "2"}}) {
    EXPECT_TRUE(absl::IsInvalidArgument(SetValue(key, texts, config)));
  }
}

}  // namespace
}  // namespace hadal
