#pragma once

#include <array>
#include <cstdint>
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
  /// its own. A key is 16 to 256 printable ASCII characters without blanks. InvalidArgument,
  /// naming the line but not the key, for anything else, a key that stands twice, or no keys.
  static absl::StatusOr<ApiKeys> Parse(std::string_view text);

  [[nodiscard]] bool empty() const { return keys_.empty(); }

  /// The tenant of an Authorization header, "Bearer KEY". Unauthenticated without a key, or with
  /// one that is not known. Takes the same time for each key: all hashes are compared, each whole.
  [[nodiscard]] absl::StatusOr<TenantId> Authenticate(std::string_view authorization) const;

 private:
  struct Key {
    std::array<unsigned char, 32> hash;
    TenantId tenant;
  };

  std::vector<Key> keys_;
};

}  // namespace hadal
