#include "server/operations/auth.h"

#include <set>
#include <string>

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hadal {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kKey = "sk-0123456789abcdef";
constexpr const char* kOther = "sk-fedcba9876543210";

ApiKeys Keys(std::string_view text) {
  absl::StatusOr<ApiKeys> keys = ApiKeys::Parse(text);
  EXPECT_TRUE(keys.ok()) << keys.status();
  return *std::move(keys);
}

std::string Bearer(std::string_view key) {
  return "Bearer " + std::string(key);
}

TEST(ApiKeysTest, WithoutKeysEverybodyIsOneTenant) {
  const ApiKeys keys;
  EXPECT_TRUE(keys.empty());
  const std::string any_header(10'000, 'x');
  for (const std::string& header : {std::string(), Bearer(kKey), any_header}) {
    const auto tenant = keys.Authenticate(header);
    ASSERT_TRUE(tenant.ok()) << tenant.status();
    EXPECT_EQ(keys.NameOf(*tenant), "anyone");
  }
}

TEST(ApiKeysTest, KeysOfOneNameAreOneTenantAndOthersTheirOwn) {
  const ApiKeys keys = Keys(
      "# who may\n"
      "\n"
      "team-a  aaaaaaaaaaaaaaaa\r\n"
      "bbbbbbbbbbbbbbbb\n"
      "  team-a\tcccccccccccccccc  \n"
      "team.b dddddddddddddddd\n"
      "eeeeeeeeeeeeeeee");
  EXPECT_EQ(keys.size(), 5);
  const auto tenant = [&keys](char c) {
    const auto found = keys.Authenticate(Bearer(std::string(16, c)));
    EXPECT_TRUE(found.ok()) << found.status();
    return *found;
  };
  EXPECT_EQ(tenant('a'), tenant('c'));
  EXPECT_EQ((std::set<TenantId>{tenant('a'), tenant('b'), tenant('d'), tenant('e')}.size()), 4U);
  EXPECT_EQ(keys.NameOf(tenant('c')), "team-a");
  EXPECT_EQ(keys.NameOf(tenant('b')), "key-2");
  EXPECT_EQ(keys.NameOf(tenant('d')), "team.b");
  EXPECT_EQ(keys.NameOf(tenant('e')), "key-5");
  for (const char c : {'a', 'b', 'd'}) {
    EXPECT_NE(tenant(c), TenantId{0}) << "the tenant of a server without keys";
  }
}

TEST(ApiKeysTest, TheSchemeIsReadInAnyCaseAndBlanksDoNotCount) {
  const ApiKeys keys = Keys(kKey);
  for (const char* scheme : {"Bearer ", "bearer ", "BEARER ", " bEaReR   "}) {
    EXPECT_TRUE(keys.Authenticate(absl::StrCat(scheme, kKey)).ok()) << scheme;
  }
  EXPECT_TRUE(keys.Authenticate(absl::StrCat("Bearer ", kKey, "  ")).ok());
}

TEST(ApiKeysTest, AnythingButAKnownKeyIsUnauthenticatedAndNotRepeated) {
  const ApiKeys keys = Keys(absl::StrCat(kKey, "\n", kOther));
  const std::string key = kKey;
  for (const std::string& header : {std::string(),
                                    std::string("Bearer"),
                                    std::string("Bearer "),
                                    key,
                                    "Basic " + key,
                                    "Bearer" + key,
                                    "Bearerx " + key,
                                    "Bear er " + key,
                                    Bearer(key + "0"),
                                    Bearer(key.substr(1)),
                                    Bearer(key.substr(0, key.size() - 1)),
                                    Bearer("SK-0123456789ABCDEF"),
                                    Bearer(absl::StrCat("x", key.substr(1))),
                                    Bearer(absl::StrCat(key.substr(0, key.size() - 1), "x")),
                                    Bearer(key + " " + kOther),
                                    Bearer(key + std::string(1, '\0')),
                                    Bearer(std::string(500, 'a')),
                                    Bearer(std::string(5000, 'a'))}) {
    const absl::Status status = keys.Authenticate(header).status();
    EXPECT_TRUE(absl::IsUnauthenticated(status)) << header << " " << status;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("0123456789"))) << header;
  }
  EXPECT_TRUE(keys.Authenticate(Bearer(kOther)).ok());
}

TEST(ApiKeysTest, EveryOneOfManyKeysIsFound) {
  std::string text;
  for (int i = 0; i < 300; ++i) {
    absl::StrAppend(&text, "tenant-", i, " key-with-number-", 1000 + i, "\n");
  }
  const ApiKeys keys = Keys(text);
  for (int i = 0; i < 300; ++i) {
    const auto tenant = keys.Authenticate(Bearer(absl::StrCat("key-with-number-", 1000 + i)));
    ASSERT_TRUE(tenant.ok()) << i;
    EXPECT_EQ(keys.NameOf(*tenant), absl::StrCat("tenant-", i));
  }
}

TEST(ApiKeysTest, ABadFileIsRefusedByLineWithoutItsKeys) {
  const std::string longest(256, 'k');
  EXPECT_TRUE(ApiKeys::Parse(longest).ok());
  struct Case {
    std::string text;
    const char* message;
  };
  const std::string key = kKey;
  for (const Case& bad :
       {Case{"", "there are no keys"},
        Case{"# only a comment\n\n", "there are no keys"},
        Case{"\nshort-key-15-ch", "line 2: a key is 16 to 256"},
        Case{longest + "k", "line 1: a key is 16 to 256"},
        Case{"clé-" + key, "line 1: a key is 16 to 256"},
        Case{key + "\x7F", "line 1: a key is 16 to 256"},
        Case{"a " + key + " x", "line 1: a key is 16 to 256"},
        Case{"a/b " + key, "line 1: a tenant's name"},
        Case{std::string(65, 'n') + " " + key, "line 1: a tenant's name"},
        Case{key + "\n# x\nteam " + key, "line 3: this key stands in a line before"}}) {
    const absl::Status status = ApiKeys::Parse(bad.text).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.message));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("0123456789")));
  }
}

TEST(ApiKeysTest, ThereAreAtMost4096Keys) {
  std::string text;
  for (int i = 0; i < 4096; ++i) {
    absl::StrAppend(&text, "one key-with-number-", 10000 + i, "\n");
  }
  EXPECT_TRUE(ApiKeys::Parse(text).ok());
  EXPECT_THAT(std::string(ApiKeys::Parse(text + "one-key-too-many-here").status().message()),
              HasSubstr("line 4097: more than 4096 keys"));
}

}  // namespace
}  // namespace hadal
