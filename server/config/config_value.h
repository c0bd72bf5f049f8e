#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "server/config/config_keys.h"

namespace hadal {

/// What a key's value must be, for messages: "an integer in [0, 65535]", "true or false".
std::string ExpectedOf(const ConfigKey& key);

/// Sets the key's member; a list from any number of texts, others from one. InvalidArgument
/// "expected an integer in [0, 65535], found 'abc'", without the key's name, which the caller knows
/// best; `config` is unchanged then.
absl::Status SetValue(const ConfigKey& key,
                      std::span<const std::string> texts,
                      ServerConfig& config);

/// Whether the key's member is a value that SetValue would set: the same error, with the key's path
/// in front.
absl::Status CheckValue(const ConfigKey& key, const ServerConfig& config);

/// The value as YAML, in one line, which reads back as the same value.
std::string YamlOf(const ConfigKey& key, const ServerConfig& config);

/// `text` for a message: in quotes, escaped, cut when it is long.
std::string Quoted(std::string_view text);

}  // namespace hadal
