#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "server/config/effective_config.h"

namespace hadal {

/// Sets what the YAML file says:
///
///   http:
///     port: 8080
///     allowed_origins: ["https://example.org"]
///   operations:
///     log_level: warning
///
/// Refused are unknown sections and keys, keys that stand twice, values of another type or out of
/// range, several documents, anchors, aliases, tags, and files over 1 MiB. InvalidArgument
/// "FILE:LINE: http.port: expected an integer in [0, 65535], found 'abc'"; the errors of
/// ReadTextFile. After an error `config` may have been changed in part.
absl::Status ApplyConfigFile(const std::string& path, EffectiveConfig& config);

/// The same of a text; `name` is what messages call it.
absl::Status ApplyConfigText(std::string_view text,
                             const std::string& name,
                             EffectiveConfig& config);

}  // namespace hadal
