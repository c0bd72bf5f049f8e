#pragma once

// Logs: one JSON object a line on stderr, written by spdlog.
//
//   {"time":"2026-01-31T12:00:00.000Z","level":"info","thread":1234,"message":"...","field":1}
//
// Messages and fields never hold text of prompts or completions.

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

namespace hadal {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

/// A named value beside the message: a string, an integer, a number or a bool. Borrows both, so it
/// is made where Log is called. Numbers that are not finite are written as null.
class LogField {
 public:
  LogField(std::string_view key, std::string_view value) : key_(key), value_(value) {}
  LogField(std::string_view key, const char* value) : LogField(key, std::string_view(value)) {}
  LogField(std::string_view key, const std::string& value)
      : LogField(key, std::string_view(value)) {}
  LogField(std::string_view key, std::same_as<bool> auto value) : key_(key), value_(value) {}
  LogField(std::string_view key, std::signed_integral auto value)
      : key_(key), value_(static_cast<int64_t>(value)) {}
  LogField(std::string_view key, std::floating_point auto value)
      : key_(key), value_(static_cast<double>(value)) {}

  /// Appends `"key":value` to `json`.
  void AppendTo(std::string& json) const;

 private:
  std::string_view key_;
  std::variant<std::string_view, int64_t, double, bool> value_;
};

/// Lines below `level` are dropped. Any thread.
void SetLogLevel(LogLevel level);

/// Writes one line. Quotes, control characters and invalid UTF-8 in `message` are escaped.
/// Any thread.
void Log(LogLevel level, std::string_view message);

/// The same with fields after the message, escaped likewise. Keys are our own words and differ from
/// time, level, thread and message.
///
///   Log(LogLevel::kInfo, "request", {{"request_id", id}, {"status", 200}});
void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields);

/// `text` as the inside of a JSON string that is one line for every reader: quotes, backslashes,
/// controls (of ASCII, DEL, and U+0080 to U+009F) and the separators U+2028 and U+2029 are escaped,
/// invalid UTF-8 is replaced by U+FFFD.
std::string EscapeJson(std::string_view text);

}  // namespace hadal
