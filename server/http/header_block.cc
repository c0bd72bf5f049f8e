#include "server/http/header_block.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include <absl/strings/ascii.h>

namespace hadal {
namespace {

using Refusal = std::optional<HttpRefusal>;

constexpr size_t kMaxRequestIdBytes = 64;

// Headers that decide about framing, content or access: where one came twice, two readers could
// believe different ones.
constexpr std::array<std::string_view, 10> kSingleHeaders = {"authorization",
                                                             "content-encoding",
                                                             "content-length",
                                                             "content-type",
                                                             "expect",
                                                             "host",
                                                             "origin",
                                                             "transfer-encoding",
                                                             "x-api-key",
                                                             "x-request-timeout"};

HttpRefusal BadRequest(std::string_view message) {
  return {400, message};
}

bool IsAlphanumeric(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c));
}

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

bool IsOneOf(char c, std::string_view set) {
  return set.find(c) != std::string_view::npos;
}

bool IsTokenCharacter(char c) {  // RFC 9110, 5.6.2
  return IsAlphanumeric(c) || IsOneOf(c, "!#$%&'*+-.^_`|~");
}

bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenCharacter);
}

bool IsTargetCharacter(char c) {
  return c > ' ' && c < '\x7F' && c != '#';
}

// Bytes above ASCII are opaque (RFC 9110, 5.5).
bool IsValueCharacter(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte == '\t' || (byte >= ' ' && byte != 0x7F);
}

std::string_view TrimBlanks(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) {
    return {};
  }
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// Cuts off the next line and its CRLF; nothing when none is left.
std::optional<std::string_view> TakeLine(std::string_view& block) {
  const size_t end = block.find("\r\n");
  if (end == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view line = block.substr(0, end);
  block.remove_prefix(end + 2);
  return line;
}

Refusal ParseVersion(std::string_view version, HeaderBlock& result) {
  constexpr std::string_view kName = "HTTP/";
  if (version.size() != kName.size() + 3 || !version.starts_with(kName) || !IsDigit(version[5]) ||
      version[6] != '.' || !IsDigit(version[7])) {
    return BadRequest("malformed HTTP version");
  }
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    return HttpRefusal{505, "only HTTP/1.1 and HTTP/1.0 are spoken here"};
  }
  result.is_http_1_0 = version == "HTTP/1.0";
  return std::nullopt;
}

Refusal ParseRequestLine(std::string_view line, HeaderBlock& result) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) {
    return BadRequest("malformed request line");
  }
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  if (!IsToken(method)) {
    return BadRequest("malformed method");
  }
  if (Refusal refusal = ParseVersion(line.substr(last + 1), result); refusal.has_value()) {
    return refusal;
  }
  if (!target.starts_with('/') || !std::all_of(target.begin(), target.end(), IsTargetCharacter)) {
    return BadRequest("the request target must be a path of printable ASCII without a fragment");
  }
  const size_t question_mark = target.find('?');
  result.request.method = method;
  result.request.path = target.substr(0, question_mark);
  if (question_mark != std::string_view::npos) {
    result.request.query = target.substr(question_mark + 1);
  }
  return std::nullopt;
}

Refusal ParseHeader(std::string_view line, HttpRequest& request) {
  if (line.starts_with(' ') || line.starts_with('\t')) {
    return BadRequest("a header is folded");
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || !IsToken(line.substr(0, colon))) {
    return BadRequest("malformed header name");
  }
  const std::string_view value = line.substr(colon + 1);
  if (!std::all_of(value.begin(), value.end(), IsValueCharacter)) {
    return BadRequest("a header value has control characters");
  }
  const std::string_view name = line.substr(0, colon);
  for (const std::string_view single : kSingleHeaders) {
    if (EqualsIgnoringCase(name, single) && request.Find(name).has_value()) {
      return BadRequest("a header that may come only once is repeated");
    }
  }
  request.headers.push_back({.name = std::string(name), .value = std::string(TrimBlanks(value))});
  return std::nullopt;
}

// A name or an address, and perhaps a port: stricter than RFC 3986, whose other characters stand in
// no name that resolves.
bool IsHost(std::string_view host) {
  const size_t port_colon = host.find(':', host.starts_with('[') ? host.find(']') : 0);
  if (port_colon != std::string_view::npos) {
    const std::string_view port = host.substr(port_colon + 1);
    int32_t number = 0;
    if (port.empty() || port.size() > 5) {
      return false;
    }
    for (const char c : port) {
      if (!IsDigit(c)) {
        return false;
      }
      number = number * 10 + (c - '0');
    }
    if (number > std::numeric_limits<uint16_t>::max()) {
      return false;
    }
    host = host.substr(0, port_colon);
  }
  if (host.starts_with('[')) {
    return host.size() > 2 && host.ends_with(']') &&
           std::all_of(host.begin() + 1, host.end() - 1, [](char c) {
             return absl::ascii_isxdigit(static_cast<unsigned char>(c)) || IsOneOf(c, ":.");
           });
  }
  return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    return IsAlphanumeric(c) || IsOneOf(c, "-._");
  });
}

Refusal CheckHost(const HeaderBlock& block) {
  const std::optional<std::string_view> host = block.request.Find("host");
  if (!host.has_value()) {
    return block.is_http_1_0 ? Refusal() : BadRequest("the Host header is missing");
  }
  return IsHost(*host) ? Refusal() : BadRequest("malformed Host header");
}

Refusal ParseContentLength(std::string_view text, HttpRequest& request) {
  if (text.empty() || !std::all_of(text.begin(), text.end(), IsDigit)) {
    return BadRequest("malformed Content-Length");
  }
  int64_t length = 0;
  for (const char c : text) {
    if (__builtin_mul_overflow(length, int64_t{10}, &length) ||
        __builtin_add_overflow(length, int64_t{c - '0'}, &length)) {
      return HttpRefusal{413, "the body is too large"};
    }
  }
  request.content_length = length;
  return std::nullopt;
}

Refusal ParseFraming(HeaderBlock& block) {
  HttpRequest& request = block.request;
  const std::optional<std::string_view> length = request.Find("content-length");
  const std::optional<std::string_view> coding = request.Find("transfer-encoding");
  if (coding.has_value()) {
    if (length.has_value()) {
      return BadRequest("both Content-Length and Transfer-Encoding");
    }
    if (block.is_http_1_0) {
      return BadRequest("HTTP/1.0 has no Transfer-Encoding");
    }
    if (!EqualsIgnoringCase(*coding, "chunked")) {
      return HttpRefusal{501, "only the transfer coding chunked is understood"};
    }
    block.is_chunked = true;
  }
  if (length.has_value()) {
    if (Refusal refusal = ParseContentLength(*length, request); refusal.has_value()) {
      return refusal;
    }
  }
  request.has_body = block.is_chunked || request.content_length.value_or(0) > 0;
  const std::optional<std::string_view> expectation = request.Find("expect");
  if (expectation.has_value() && !block.is_http_1_0) {
    if (!EqualsIgnoringCase(*expectation, "100-continue")) {
      return HttpRefusal{417, "no expectation but 100-continue is understood"};
    }
    block.expects_continue = request.has_body;
  }
  return std::nullopt;
}

// "close" anywhere wins; HTTP/1.0 must ask to be kept.
bool KeepsAlive(const HeaderBlock& block) {
  bool keep_alive = !block.is_http_1_0;
  for (const HttpHeader& header : block.request.headers) {
    if (!EqualsIgnoringCase(header.name, "connection")) {
      continue;
    }
    std::string_view options = header.value;
    while (!options.empty()) {
      const size_t comma = std::min(options.find(','), options.size());
      const std::string_view option = TrimBlanks(options.substr(0, comma));
      if (EqualsIgnoringCase(option, "close")) {
        return false;
      }
      keep_alive = keep_alive || EqualsIgnoringCase(option, "keep-alive");
      options.remove_prefix(std::min(comma + 1, options.size()));
    }
  }
  return keep_alive;
}

std::string ClientsRequestId(const HttpRequest& request) {
  const std::string_view id = request.Find("x-request-id").value_or("");
  const bool fits =
      id.size() <= kMaxRequestIdBytes && std::all_of(id.begin(), id.end(), [](char c) {
        return IsAlphanumeric(c) || IsOneOf(c, "._-");
      });
  return fits ? std::string(id) : std::string();
}

}  // namespace

HeaderBlockScanner::Result HeaderBlockScanner::Refuse(int32_t status, std::string_view message) {
  refusal_ = {status, message};
  return Result::kRefused;
}

// Whether the line that ends here keeps the limits. Its CRLF has been looked at.
bool HeaderBlockScanner::EndLine() {
  if (headers_begin_ == 0) {
    headers_begin_ = position_;
  } else {
    ++num_headers_;
  }
  line_begin_ = position_;
  return num_headers_ <= limits_.max_headers && CheckLength();
}

// Whether what was looked at keeps the limits of bytes. A CR may end the line: it does not count.
bool HeaderBlockScanner::CheckLength() {
  const auto length = static_cast<int64_t>(position_ - headers_begin_);
  if (headers_begin_ == 0) {
    return length - (after_carriage_return_ ? 1 : 0) <= limits_.max_request_line_bytes;
  }
  const bool may_be_last_line = after_carriage_return_ && position_ == line_begin_ + 1;
  return length - (may_be_last_line ? 1 : 0) <= limits_.max_header_bytes;
}

HeaderBlockScanner::Result HeaderBlockScanner::Scan(std::string_view bytes) {
  while (position_ < bytes.size()) {
    const char c = bytes[position_++];
    if (after_carriage_return_ != (c == '\n')) {
      return Refuse(400, "lines must end with CRLF");
    }
    if (c == '\n') {
      after_carriage_return_ = false;
      const bool is_empty = position_ == line_begin_ + 2;
      if (is_empty) {
        return headers_begin_ == 0 ? Refuse(400, "the request line is empty") : Result::kComplete;
      }
      if (!EndLine()) {
        return Refuse(431, "too many or too long headers");
      }
      continue;
    }
    after_carriage_return_ = c == '\r';
    if (!CheckLength()) {
      return headers_begin_ == 0 ? Refuse(414, "the request line is too long")
                                 : Refuse(431, "too many or too long headers");
    }
  }
  return Result::kNeedsMore;
}

std::variant<HeaderBlock, HttpRefusal> ParseHeaderBlock(std::string_view block) {
  HeaderBlock result;
  const std::optional<std::string_view> request_line = TakeLine(block);
  if (!request_line.has_value()) {
    return BadRequest("malformed request line");
  }
  if (Refusal refusal = ParseRequestLine(*request_line, result); refusal.has_value()) {
    return *refusal;
  }
  std::optional<std::string_view> line = TakeLine(block);
  while (line.has_value() && !line->empty()) {
    if (Refusal refusal = ParseHeader(*line, result.request); refusal.has_value()) {
      return *refusal;
    }
    line = TakeLine(block);
  }
  if (!line.has_value() || !block.empty()) {
    return BadRequest("malformed header block");
  }
  if (Refusal refusal = CheckHost(result); refusal.has_value()) {
    return *refusal;
  }
  if (Refusal refusal = ParseFraming(result); refusal.has_value()) {
    return *refusal;
  }
  result.keeps_alive = KeepsAlive(result);
  result.request.request_id = ClientsRequestId(result.request);
  return result;
}

}  // namespace hadal
