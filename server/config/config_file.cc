#include "server/config/config_file.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <utility>
#include <vector>

#include <absl/strings/str_format.h>

#include "base/mapped_file.h"
#include "server/config/config_value.h"
#include "server/config/nearest_name.h"
#include "server/config/yaml_reader.h"

namespace hadal {
namespace {

constexpr size_t kMaxFileBytes = 1 << 20;

// "; did you mean http.port?" or nothing.
std::string Suggestion(const std::string& found, const std::vector<std::string>& known) {
  const std::string nearest = NearestName(found, known);
  return nearest.empty() ? "" : "; did you mean " + nearest + "?";
}

std::vector<std::string> SectionNames() {
  std::vector<std::string> names;
  for (const ConfigKey& key : ConfigKeys()) {
    if (names.empty() || names.back() != key.section) {
      names.emplace_back(key.section);
    }
  }
  return names;
}

// A key of that name in another section, or one of a similar path.
std::string SuggestionForKey(const YamlEntry& entry) {
  std::vector<std::string> paths;
  for (const ConfigKey& key : ConfigKeys()) {
    if (key.name == entry.key) {
      return "; did you mean " + PathOf(key) + "?";
    }
    paths.push_back(PathOf(key));
  }
  return Suggestion(entry.section + "." + entry.key, paths);
}

absl::Status CheckSections(const std::vector<YamlSection>& sections, const std::string& name) {
  const std::vector<std::string> known = SectionNames();
  std::map<std::string, int32_t> lines;
  for (const YamlSection& section : sections) {
    if (std::find(known.begin(), known.end(), section.name) == known.end()) {
      return InvalidArgument("%s:%d: unknown section %s%s",
                             name,
                             section.line,
                             Quoted(section.name),
                             Suggestion(section.name, known));
    }
    const auto [first, is_new] = lines.insert({section.name, section.line});
    if (!is_new) {
      return InvalidArgument("%s:%d: section %s stands in line %d already",
                             name,
                             section.line,
                             section.name,
                             first->second);
    }
  }
  return absl::OkStatus();
}

// Numbers and bools in quotes are texts; sizes have letters in them and may stand in quotes.
absl::Status CheckQuotes(const ConfigKey& key, const YamlValue& value) {
  const auto* integer = std::get_if<IntegerField>(&key.field);
  const bool is_plain = (integer != nullptr && integer->notation == IntegerNotation::kPlain) ||
                        std::holds_alternative<NumberField>(key.field) ||
                        std::holds_alternative<BoolField>(key.field);
  if (is_plain && value.is_quoted && !value.is_list) {
    return InvalidArgument(
        "expected %s, found the text %s", ExpectedOf(key), Quoted(value.texts.front()));
  }
  return absl::OkStatus();
}

absl::Status SetEntry(const YamlEntry& entry, const ConfigKey& key, EffectiveConfig& config) {
  if (entry.value.is_list && !std::holds_alternative<ListField>(key.field)) {
    return InvalidArgument("expected %s, found a list", ExpectedOf(key));
  }
  RETURN_IF_ERROR(CheckQuotes(key, entry.value));
  return config.Set(key, entry.value.texts, ConfigSource::kFile);
}

}  // namespace

absl::Status ApplyConfigFile(const std::string& path, EffectiveConfig& config) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, kMaxFileBytes));
  return ApplyConfigText(text, path, config);
}

absl::Status ApplyConfigText(std::string_view text,
                             const std::string& name,
                             EffectiveConfig& config) {
  if (text.size() > kMaxFileBytes) {
    return InvalidArgument("%s: a configuration of more than %d bytes", name, kMaxFileBytes);
  }
  ASSIGN_OR_RETURN(const YamlSections file, ReadYamlSections(text, name));
  RETURN_IF_ERROR(CheckSections(file.sections, name));
  std::map<std::string, int32_t> lines;
  for (const YamlEntry& entry : file.entries) {
    const ConfigKey* const key = FindConfigKey(entry.section, entry.key);
    if (key == nullptr) {
      return InvalidArgument("%s:%d: unknown key %s in section %s%s",
                             name,
                             entry.line,
                             Quoted(entry.key),
                             entry.section,
                             SuggestionForKey(entry));
    }
    const auto [first, is_new] = lines.insert({PathOf(*key), entry.line});
    if (!is_new) {
      return InvalidArgument(
          "%s:%d: %s stands in line %d already", name, entry.line, PathOf(*key), first->second);
    }
    RETURN_IF_ERROR(Annotate(SetEntry(entry, *key, config),
                             absl::StrFormat("%s:%d: %s", name, entry.line, PathOf(*key))));
  }
  return absl::OkStatus();
}

}  // namespace hadal
