#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <variant>

#include "server/http/http_message.h"

namespace hadal {

// The wall in front of everything: what is not plainly HTTP/1.0 or 1.1 as RFC 9112 writes it is
// refused, also where the RFC lets a server be lenient, because two parties that read one request
// in two ways are how requests are smuggled. No blank line before a request, no line ending but
// CRLF, no folded headers, no blank before a colon, no framing that could be read in two ways.

/// Why a request is refused.
struct HttpRefusal {
  int32_t status;
  std::string_view message;  // for the client; static
};

/// Bounds of a header block, all inclusive.
struct HeaderBlockLimits {
  int64_t max_request_line_bytes;  // without its CRLF; above: 414
  int64_t max_header_bytes;        // of all header lines with their CRLFs; above: 431
  int64_t max_headers;             // above: 431
};

/// Finds where a header block ends while its bytes arrive, and refuses one that grows over a limit
/// as soon as it does. Looks at each byte once.
class HeaderBlockScanner {
 public:
  enum class Result { kNeedsMore, kComplete, kRefused };

  explicit HeaderBlockScanner(const HeaderBlockLimits& limits) : limits_(limits) {}

  /// `bytes` is all that has come since the block began: what the call before was given, and more.
  Result Scan(std::string_view bytes);

  /// Bytes of the block with the empty line that ends it. REQUIRES: kComplete.
  [[nodiscard]] size_t size() const { return position_; }

  /// REQUIRES: kRefused.
  [[nodiscard]] const HttpRefusal& refusal() const { return refusal_; }

 private:
  Result Refuse(int32_t status, std::string_view message);
  [[nodiscard]] bool EndLine();
  [[nodiscard]] bool CheckLength();

  HeaderBlockLimits limits_;
  size_t position_ = 0;       // bytes that were looked at
  size_t line_begin_ = 0;     // of the line that position_ is in
  size_t headers_begin_ = 0;  // behind the request line; 0 while that has not ended
  int64_t num_headers_ = 0;
  bool after_carriage_return_ = false;
  HttpRefusal refusal_ = {};
};

/// A request's header block, taken apart.
struct HeaderBlock {
  HttpRequest request;  // without client_address, is_tls; request_id empty unless the client's fits
  bool is_http_1_0 = false;
  bool is_chunked = false;
  bool keeps_alive = false;  // as the client wants it
  bool expects_continue = false;
};

/// Takes apart what HeaderBlockScanner found complete; any other bytes are refused too. 400 for
/// what is malformed or ambiguous; 413 for a Content-Length above 2^63 - 1; 417 for an expectation
/// other than 100-continue; 501 for a transfer coding other than chunked; 505 for a version other
/// than 1.0 and 1.1. Pure.
std::variant<HeaderBlock, HttpRefusal> ParseHeaderBlock(std::string_view block);

}  // namespace hadal
