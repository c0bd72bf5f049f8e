#include "server/operations/auth.h"

#include <algorithm>
#include <cstddef>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <optional>
#include <set>

#include <absl/strings/ascii.h>
#include <absl/strings/str_format.h>

#include "base/check.h"
#include "base/checked_cast.h"

namespace hadal {
namespace {

constexpr size_t kMaxKeys = 4096;
constexpr size_t kMinKeyLength = 16;
constexpr size_t kMaxKeyLength = 256;
constexpr size_t kMaxNameLength = 64;
constexpr size_t kMaxHeaderLength = 512;  // a scheme, blanks and the longest key
constexpr std::string_view kBlanks = " \t\r";
constexpr std::string_view kScheme = "bearer";

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) {
    return {};
  }
  return text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

bool IsKey(std::string_view text) {
  const auto is_printable = [](char c) { return c > ' ' && c <= '~'; };
  return text.size() >= kMinKeyLength && text.size() <= kMaxKeyLength &&
         std::all_of(text.begin(), text.end(), is_printable);
}

bool IsName(std::string_view text) {
  const auto is_allowed = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
  };
  return !text.empty() && text.size() <= kMaxNameLength &&
         std::all_of(text.begin(), text.end(), is_allowed);
}

// What follows the scheme in "Bearer KEY"; nothing for other schemes. The scheme is not secret, so
// it need not be compared in constant time.
std::optional<std::string_view> KeyOf(std::string_view authorization) {
  authorization = Trim(authorization);
  const size_t blank = authorization.find(' ');
  if (blank != kScheme.size()) {
    return std::nullopt;
  }
  const auto equals = [](char expected, char found) {
    return expected == absl::ascii_tolower(static_cast<unsigned char>(found));
  };
  if (!std::equal(kScheme.begin(), kScheme.end(), authorization.begin(), equals)) {
    return std::nullopt;
  }
  return Trim(authorization.substr(blank));
}

}  // namespace

absl::StatusOr<ApiKeys> ApiKeys::Parse(std::string_view text) {
  ApiKeys keys;
  std::set<Hash> hashes;
  TenantsByName tenants;
  for (int64_t line_number = 1; !text.empty(); ++line_number) {
    const size_t line_length = std::min(text.find('\n'), text.size());
    const std::string_view line = Trim(text.substr(0, line_length));
    text.remove_prefix(std::min(line_length + 1, text.size()));
    if (line.empty() || line.front() == '#') {
      continue;
    }
    const size_t blank = line.find_first_of(kBlanks);
    const bool is_named = blank != std::string_view::npos;
    const std::string_view name = is_named ? line.substr(0, blank) : std::string_view();
    const std::string_view key = is_named ? Trim(line.substr(blank)) : line;
    if (is_named && !IsName(name)) {
      return InvalidArgument("line %d: a tenant's name is 1 to %d letters, digits, '.', '_' or '-'",
                             line_number,
                             kMaxNameLength);
    }
    if (!IsKey(key)) {
      return InvalidArgument("line %d: a key is %d to %d printable ASCII characters without blanks",
                             line_number,
                             kMinKeyLength,
                             kMaxKeyLength);
    }
    if (keys.keys_.size() == kMaxKeys) {
      return InvalidArgument("line %d: more than %d keys", line_number, kMaxKeys);
    }
    const Hash hash = HashOf(key);
    if (!hashes.insert(hash).second) {
      return InvalidArgument("line %d: this key stands in a line before", line_number);
    }
    keys.keys_.push_back({.hash = hash, .tenant = keys.TenantOf(name, tenants)});
  }
  if (keys.empty()) {
    return InvalidArgument("there are no keys");
  }
  return keys;
}

ApiKeys::Hash ApiKeys::HashOf(std::string_view key) {
  Hash hash = {};
  static_assert(sizeof(hash) == SHA256_DIGEST_LENGTH);
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), hash.data());
  return hash;
}

TenantId ApiKeys::TenantOf(std::string_view name, TenantsByName& tenants) {
  const TenantId next = TenantId{CheckedCast<int32_t>(tenant_names_.size())};
  if (name.empty()) {
    tenant_names_.push_back(absl::StrFormat("key-%d", size() + 1));
    return next;
  }
  const auto [tenant, is_new] = tenants.insert({std::string(name), next});
  if (is_new) {
    tenant_names_.push_back(tenant->first);
  }
  return tenant->second;
}

absl::StatusOr<TenantId> ApiKeys::Authenticate(std::string_view authorization) const {
  if (keys_.empty()) {
    return TenantId{0};
  }
  if (authorization.size() > kMaxHeaderLength) {
    return absl::UnauthenticatedError("the Authorization header is too long");
  }
  const std::optional<std::string_view> key = KeyOf(authorization);
  if (!key.has_value() || key->empty()) {
    return absl::UnauthenticatedError(
        "an API key is needed: send the header \"Authorization: Bearer KEY\"");
  }
  // Every stored hash is compared with the whole of the given one, and a match is kept by masking:
  // nothing in this loop depends on whether, where or how far a key matches.
  const Hash hash = HashOf(*key);
  uint32_t found = 0;
  for (const Key& known : keys_) {
    const auto differs =
        static_cast<uint32_t>(CRYPTO_memcmp(known.hash.data(), hash.data(), hash.size()) != 0);
    found |= static_cast<uint32_t>(known.tenant) & (differs - 1);
  }
  if (found == 0) {
    return absl::UnauthenticatedError("the API key is not known");
  }
  return TenantId{static_cast<int32_t>(found)};
}

std::string_view ApiKeys::NameOf(TenantId tenant) const {
  const auto index = static_cast<size_t>(tenant);
  CHECK_LT(index, tenant_names_.size());
  return tenant_names_[index];
}

}  // namespace hadal
