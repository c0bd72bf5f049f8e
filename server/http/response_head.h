#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "server/http/http_message.h"

namespace hadal {

/// How the client learns where a response's body ends.
enum class BodyFraming { kContentLength, kChunked, kUntilClose, kNoBody };

/// What becomes of the connection behind a response.
enum class ConnectionFate { kKept, kKeptAndSaid, kClosed };

struct ResponseHeadArgs {
  const HttpResponse& response;  // its body is not looked at
  std::string_view request_id;   // [A-Za-z0-9._-]
  std::string_view date;         // as in the Date header
  BodyFraming framing;
  int64_t content_length;  // with kContentLength
  ConnectionFate fate;
};

/// Status line and headers of a response, with the empty line behind. No value can add a line:
/// control characters become blanks. REQUIRES: header names are tokens.
std::string FormatResponseHead(const ResponseHeadArgs& args);

/// "Not Found" for 404; "Unknown" for what has no name.
std::string_view ReasonPhrase(int32_t status);

}  // namespace hadal
