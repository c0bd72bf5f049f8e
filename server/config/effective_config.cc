#include "server/config/effective_config.h"

#include <cstddef>
#include <string_view>

#include <absl/strings/str_format.h>

#include "base/check.h"
#include "server/config/config_value.h"

namespace hadal {
namespace {

std::string_view NameOf(ConfigSource source) {
  switch (source) {
    case ConfigSource::kDefault:
      return "default";
    case ConfigSource::kFile:
      return "file";
    case ConfigSource::kFlag:
      return "flag";
  }
  return "";
}

size_t IndexOf(const ConfigKey& key) {
  const ptrdiff_t index = &key - ConfigKeys().data();
  CHECK(index >= 0 && static_cast<size_t>(index) < ConfigKeys().size());
  return static_cast<size_t>(index);
}

}  // namespace

EffectiveConfig::EffectiveConfig() : sources_(ConfigKeys().size(), ConfigSource::kDefault) {}

absl::Status EffectiveConfig::Set(const ConfigKey& key,
                                  std::span<const std::string> texts,
                                  ConfigSource source) {
  RETURN_IF_ERROR(SetValue(key, texts, config_));
  sources_[IndexOf(key)] = source;
  return absl::OkStatus();
}

ConfigSource EffectiveConfig::SourceOf(const ConfigKey& key) const {
  return sources_[IndexOf(key)];
}

std::string EffectiveConfig::ToYaml() const {
  std::string yaml;
  std::string_view section;
  for (const ConfigKey& key : ConfigKeys()) {
    if (key.section != section) {
      section = key.section;
      absl::StrAppendFormat(&yaml, "%s:\n", section);
    }
    absl::StrAppendFormat(
        &yaml, "  %s: %s  # %s\n", key.name, YamlOf(key, config_), NameOf(SourceOf(key)));
  }
  return yaml;
}

}  // namespace hadal
