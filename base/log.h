#pragma once

// Logs: one JSON object a line on stderr, written by spdlog.
//
//   {"time":"2026-01-31T12:00:00.000Z","level":"info","thread":1234,"message":"..."}
//
// Messages never hold text of prompts or completions.

#include <string>
#include <string_view>

namespace hadal {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

/// Lines below `level` are dropped. Any thread.
void SetLogLevel(LogLevel level);

/// Writes one line. Quotes, control characters and invalid UTF-8 in `message` are escaped.
/// Any thread.
void Log(LogLevel level, std::string_view message);

/// `text` as the inside of a JSON string: ASCII controls, quotes and backslashes escaped, invalid
/// UTF-8 replaced by U+FFFD.
std::string EscapeJson(std::string_view text);

}  // namespace hadal
