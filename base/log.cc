#include "base/log.h"

#include <memory>
#include <string>

#include <absl/strings/str_format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "base/utf8.h"

namespace hadal {
namespace {

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
    logger->set_pattern(
        R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","thread":%t,"message":"%v"})",
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
  Logger().log(SpdlogLevel(level), "{}", EscapeJson(message));
}

std::string EscapeJson(std::string_view text) {
  std::string out;
  for (const char c : ReplaceInvalidUtf8(text)) {
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += absl::StrFormat("\\u%04x", static_cast<unsigned>(c));
    } else {
      out.push_back(c);
    }
  }
  return out;
}

}  // namespace hadal
