#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/clock.h"

namespace hadal {

/// What the log says of one request. Holds no text of prompts or answers. Strings may be whatever a
/// client sent: each is escaped, and cut at 256 bytes.
struct RequestLine {
  std::string_view request_id{};
  std::string_view tenant{};  // ApiKeys::NameOf
  std::string_view client_address{};
  std::string_view route{};
  int32_t status = 0;
  std::string_view finish_reason{};  // empty: nothing was generated
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  std::optional<Duration> queue{};  // times from the request's arrival
  std::optional<Duration> first_token{};
  Duration total{};
};

/// Writes `line` to the log at level info. Any thread.
void LogRequest(const RequestLine& line);

}  // namespace hadal
