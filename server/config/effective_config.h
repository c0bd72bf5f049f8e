#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "server/config/config_keys.h"
#include "server/config/server_config.h"

namespace hadal {

/// Where a value comes from. Later ones win.
enum class ConfigSource : int8_t { kDefault, kFile, kFlag };

/// A configuration that is put together, and where each of its values comes from. Flags are set
/// after the file.
class EffectiveConfig {
 public:
  EffectiveConfig();

  /// The errors of SetValue (config_value.h).
  absl::Status Set(const ConfigKey& key, std::span<const std::string> texts, ConfigSource source);

  [[nodiscard]] const ServerConfig& config() const { return config_; }

  /// REQUIRES: `key` is one of ConfigKeys().
  [[nodiscard]] ConfigSource SourceOf(const ConfigKey& key) const;

  /// A configuration file with all keys that gives the same configuration; the source of each value
  /// is a comment. Secrets are not in it: the configuration has only the names of what holds them.
  [[nodiscard]] std::string ToYaml() const;

 private:
  ServerConfig config_;
  std::vector<ConfigSource> sources_;  // by place in ConfigKeys()
};

}  // namespace hadal
