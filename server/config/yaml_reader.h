#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace hadal {

/// A value of a configuration file. A list has any number of texts, another value one.
struct YamlValue {
  std::vector<std::string> texts;
  bool is_list = false;
  bool is_quoted = false;  // a text whatever it looks like; of a list, whether all items are
};

/// `section: {key: value}`, with the lines that key and value stand in.
struct YamlEntry {
  std::string section;
  std::string key;
  YamlValue value;
  int32_t line = 0;
};

/// A section's name, where it stands.
struct YamlSection {
  std::string name;
  int32_t line = 0;
};

struct YamlSections {
  std::vector<YamlSection> sections;  // empty ones, too
  std::vector<YamlEntry> entries;     // in the order of the file
};

/// Reads a document of two levels: sections of keys with values, which are scalars or lists of
/// them. Nothing at all is no sections. InvalidArgument "NAME:LINE: …" for anything else: bad YAML,
/// deeper levels, keys without a value, several documents, anchors, aliases, tags, invalid UTF-8.
absl::StatusOr<YamlSections> ReadYamlSections(std::string_view text, const std::string& name);

}  // namespace hadal
