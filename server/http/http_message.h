#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hadal {

/// A name and a value. Names compare without regard to case.
struct HttpHeader {
  std::string name;
  std::string value;
};

/// Whether two ASCII strings are equal but for the case of their letters.
bool EqualsIgnoringCase(std::string_view a, std::string_view b);

/// The request line and headers of a request that passed the checks of header_block.h.
struct HttpRequest {
  std::string method;  // "GET", "POST", …
  std::string path;    // of the target, up to '?', as it was sent: nothing is decoded
  std::string query;   // behind '?'; empty without
  std::vector<HttpHeader> headers;
  std::optional<int64_t> content_length;  // nothing: no body, or a chunked one
  bool has_body = false;
  bool is_tls = false;
  std::string client_address;  // without the port
  std::string request_id;      // x-request-id when that is [A-Za-z0-9._-]{1,64}; else a fresh one

  /// The value of the first header `name`, without blanks around it; nothing when it is absent.
  /// Headers that decide about framing, content or access come at most once.
  [[nodiscard]] std::optional<std::string_view> Find(std::string_view name) const;
};

/// A whole response. Content-Length, Connection, Date and x-request-id are added: what `headers`
/// say of these is left out.
struct HttpResponse {
  int32_t status = 200;
  std::vector<HttpHeader> headers{};              // control characters of values become blanks
  std::string content_type = "application/json";  // empty: the header is left out
  std::string body{};
};

}  // namespace hadal
