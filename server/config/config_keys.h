#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "server/config/server_config.h"

namespace hadal {

// The kinds of values. Each has a getter and a setter of its member of ServerConfig, and bounds,
// both included.

/// How an integer is written: as a number, or as bytes with a unit.
enum class IntegerNotation : int8_t { kPlain, kBytes };

struct IntegerField {
  int64_t (*get)(const ServerConfig&);
  void (*set)(ServerConfig&, int64_t);
  int64_t min;
  int64_t max;
  IntegerNotation notation;
};
struct NumberField {
  double (*get)(const ServerConfig&);
  void (*set)(ServerConfig&, double);
  double min;
  double max;
};
struct BoolField {
  bool (*get)(const ServerConfig&);
  void (*set)(ServerConfig&, bool);
};
/// Text of at most 4096 bytes, without control characters; `check` may be null, or says what is
/// expected where the text is something else.
struct TextField {
  const std::string& (*get)(const ServerConfig&);
  void (*set)(ServerConfig&, const std::string&);
  std::string_view (*check)(std::string_view text);
};
/// One of some words.
struct ChoiceField {
  std::string_view (*get)(const ServerConfig&);
  void (*set)(ServerConfig&, std::string_view);
  std::span<const std::string_view> choices;
};
/// At most 256 texts, each as a TextField's and not empty.
struct ListField {
  const std::vector<std::string>& (*get)(const ServerConfig&);
  void (*set)(ServerConfig&, const std::vector<std::string>&);
};
using ConfigField =
    std::variant<IntegerField, NumberField, BoolField, TextField, ChoiceField, ListField>;

/// One key of the configuration, for the file and for flags alike.
struct ConfigKey {
  std::string_view section;  // "http"
  std::string_view name;     // "port"
  std::string_view flag;     // "--port"; of a bool "--reflection", which has "--no-reflection", too
  std::string_view unit;     // what stands for the value in help: "PORT", "SECONDS", "SIZE"
  std::string_view help;     // one sentence without its full stop
  ConfigField field;
};

/// "http.port".
std::string PathOf(const ConfigKey& key);

/// All keys, section by section in the order of ServerConfig. Immutable; any thread.
std::span<const ConfigKey> ConfigKeys();

/// Null when there is none.
const ConfigKey* FindConfigKey(std::string_view section, std::string_view name);

}  // namespace hadal
