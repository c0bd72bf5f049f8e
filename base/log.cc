#include "base/log.h"

#include <cmath>
#include <memory>
#include <string>

#include <absl/strings/str_format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "base/utf8.h"

namespace hadal {
namespace {

constexpr char32_t kReplacement = 0xFFFD;

// Controls, and what some readers of logs take for the end of a line.
bool BreaksLine(char32_t code_point) {
  return code_point < 0x20 || (code_point >= 0x7F && code_point < 0xA0) || code_point == 0x2028 ||
         code_point == 0x2029;
}

spdlog::level::level_enum SpdlogLevel(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::off;
}

spdlog::logger& Logger() {
  static const std::shared_ptr<spdlog::logger> kLogger = [] {
    auto logger = std::make_shared<spdlog::logger>(
        "hadal", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    logger->set_pattern(R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","thread":%t,%v})",
                        spdlog::pattern_time_type::utc);
    logger->flush_on(spdlog::level::warn);
    return logger;
  }();
  return *kLogger;
}

}  // namespace

void SetLogLevel(LogLevel level) {
  Logger().set_level(SpdlogLevel(level));
}

void Log(LogLevel level, std::string_view message) {
  Log(level, message, {});
}

void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  const spdlog::level::level_enum spdlog_level = SpdlogLevel(level);
  if (!Logger().should_log(spdlog_level)) {
    return;
  }
  std::string json;
  LogField("message", message).AppendTo(json);
  for (const LogField& field : fields) {
    json.push_back(',');
    field.AppendTo(json);
  }
  Logger().log(spdlog_level, "{}", json);
}

void LogField::AppendTo(std::string& json) const {
  absl::StrAppendFormat(&json, "\"%s\":", EscapeJson(key_));
  if (const auto* text = std::get_if<std::string_view>(&value_)) {
    absl::StrAppendFormat(&json, "\"%s\"", EscapeJson(*text));
  } else if (const auto* integer = std::get_if<int64_t>(&value_)) {
    absl::StrAppendFormat(&json, "%d", *integer);
  } else if (const auto* flag = std::get_if<bool>(&value_)) {
    json += *flag ? "true" : "false";
  } else {
    const double number = std::get<double>(value_);
    json += std::isfinite(number) ? absl::StrFormat("%.9g", number) : "null";
  }
}

std::string EscapeJson(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Char next = DecodeUtf8(text);
    if (next.num_bytes == 0) {
      AppendUtf8(kReplacement, out);
      text.remove_prefix(InvalidUtf8Length(text));
      continue;
    }
    const std::string_view bytes = text.substr(0, static_cast<size_t>(next.num_bytes));
    if (next.code_point == '"' || next.code_point == '\\') {
      out.push_back('\\');
      out += bytes;
    } else if (BreaksLine(next.code_point)) {
      out += absl::StrFormat("\\u%04x", static_cast<uint32_t>(next.code_point));
    } else {
      out += bytes;
    }
    text.remove_prefix(bytes.size());
  }
  return out;
}

}  // namespace hadal
