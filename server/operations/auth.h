#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "scheduler/request.h"

namespace hadal {

/// The API keys that may use the server. Immutable; any thread. Keys are kept as SHA-256 hashes.
class ApiKeys {
 public:
  /// No keys: everybody may, as one tenant.
  ApiKeys() = default;

  /// One key a line, "KEY" or "TENANT KEY"; blank lines and those that begin with '#' are skipped.
  /// Keys of one tenant share its turn and its prefix cache; a key without a name is a tenant of
  /// its own. A key is 16 to 256 printable ASCII characters without blanks, a name 1 to 64 of
  /// letters, digits, '.', '_' and '-'. InvalidArgument, naming the line but not the key, for
  /// anything else, a key that stands twice, more than 4096 keys, or none.
  static absl::StatusOr<ApiKeys> Parse(std::string_view text);

  [[nodiscard]] bool empty() const { return keys_.empty(); }
  [[nodiscard]] int64_t size() const { return static_cast<int64_t>(keys_.size()); }

  /// The tenant of an Authorization header, "Bearer KEY"; without keys that of everybody, whatever
  /// the header. Unauthenticated without a key, or with one that is not known; the message does not
  /// hold it. Takes the same time for each key: all hashes are compared, each whole.
  [[nodiscard]] absl::StatusOr<TenantId> Authenticate(std::string_view authorization) const;

  /// What logs call a tenant: its name, or "key-3" for the third key when that has none; "anyone"
  /// without keys. REQUIRES: `tenant` came from Authenticate.
  [[nodiscard]] std::string_view NameOf(TenantId tenant) const;

 private:
  using Hash = std::array<unsigned char, 32>;
  using TenantsByName = std::map<std::string, TenantId>;

  struct Key {
    Hash hash;
    TenantId tenant;
  };

  static Hash HashOf(std::string_view key);

  // The tenant of a line's name, made when it is new; an empty name is always new.
  TenantId TenantOf(std::string_view name, TenantsByName& tenants);

  std::vector<Key> keys_;
  std::vector<std::string> tenant_names_ = {"anyone"};  // by TenantId
};

}  // namespace hadal
