// Arbitrary bytes as a header block and as a chunked body: what is taken does not depend on the
// pieces that it comes in, and what passes the wall keeps its promises.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/check.h"
#include "server/http/chunked_body.h"
#include "server/http/header_block.h"

namespace hadal {
namespace {

constexpr HeaderBlockLimits kLimits = {
    .max_request_line_bytes = 64, .max_header_bytes = 256, .max_headers = 8};

struct Scanned {
  HeaderBlockScanner::Result result;
  size_t size;     // when complete
  int32_t status;  // when refused
};

Scanned Scan(std::string_view bytes, size_t step) {
  HeaderBlockScanner scanner(kLimits);
  auto result = HeaderBlockScanner::Result::kNeedsMore;
  for (size_t size = 0; size < bytes.size() && result == HeaderBlockScanner::Result::kNeedsMore;) {
    size = std::min(size + step, bytes.size());
    result = scanner.Scan(bytes.substr(0, size));
  }
  return {.result = result,
          .size = result == HeaderBlockScanner::Result::kComplete ? scanner.size() : 0,
          .status = result == HeaderBlockScanner::Result::kRefused ? scanner.refusal().status : 0};
}

bool HasControls(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) < ' ' && c != '\t') || c == '\x7F';
  });
}

// What routes may rely on.
void CheckPromises(const HeaderBlock& block) {
  const HttpRequest& request = block.request;
  CHECK(!request.method.empty());
  CHECK(request.path.starts_with('/'));
  CHECK(!HasControls(request.method + request.path + request.query));
  int64_t num_hosts = 0;
  int64_t num_framings = 0;
  for (const HttpHeader& header : request.headers) {
    CHECK(!header.name.empty());
    CHECK(header.name.find_first_of(" \t:\r\n") == std::string::npos);
    CHECK(!HasControls(header.name + header.value));
    CHECK(header.value.empty() || (header.value.front() != ' ' && header.value.back() != ' '));
    num_hosts += EqualsIgnoringCase(header.name, "host") ? 1 : 0;
    num_framings += EqualsIgnoringCase(header.name, "content-length") ? 1 : 0;
    num_framings += EqualsIgnoringCase(header.name, "transfer-encoding") ? 1 : 0;
  }
  CHECK_LE(num_hosts, 1);
  CHECK(num_hosts == 1 || block.is_http_1_0);
  CHECK_LE(num_framings, 1);
  CHECK_GE(request.content_length.value_or(0), 0);
  CHECK(!(block.is_chunked && request.content_length.has_value()));
  CHECK_EQ(request.has_body, block.is_chunked || request.content_length.value_or(0) > 0);
  CHECK_LE(request.request_id.size(), 64U);
}

// The same request, written anew.
std::string Format(const HeaderBlock& block) {
  std::string text = block.request.method + " " + block.request.path;
  text += block.request.query.empty() ? "" : "?" + block.request.query;
  text += block.is_http_1_0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n";
  for (const HttpHeader& header : block.request.headers) {
    text += header.name + ": " + header.value + "\r\n";
  }
  return text + "\r\n";
}

void FuzzHeaderBlock(std::string_view bytes, size_t step) {
  const Scanned whole = Scan(bytes, bytes.size() + 1);
  const Scanned pieces = Scan(bytes, step);
  CHECK(whole.result == pieces.result);
  CHECK_EQ(whole.size, pieces.size);
  CHECK_EQ(whole.status, pieces.status);
  ParseHeaderBlock(bytes);
  if (whole.result != HeaderBlockScanner::Result::kComplete) {
    return;
  }
  const auto parsed = ParseHeaderBlock(bytes.substr(0, whole.size));
  if (const auto* block = std::get_if<HeaderBlock>(&parsed)) {
    CheckPromises(*block);
    const std::string text = Format(*block);
    const auto again = ParseHeaderBlock(text);
    CHECK(std::holds_alternative<HeaderBlock>(again));
    CHECK(Format(std::get<HeaderBlock>(again)) == text);
  }
}

struct Decoded {
  ChunkedBody::State state;
  std::string body;
  size_t num_taken;
  int64_t num_announced;
};

Decoded Decode(std::string_view bytes, size_t step) {
  ChunkedBody chunks;
  std::string body;
  size_t num_taken = 0;
  while (num_taken < bytes.size() && chunks.state() == ChunkedBody::State::kMore) {
    const ChunkedBody::Piece piece = chunks.Take(bytes.substr(num_taken, step));
    CHECK_GT(piece.num_bytes, 0U);
    body += piece.data;
    num_taken += piece.num_bytes;
  }
  return {chunks.state(), std::move(body), num_taken, chunks.num_announced()};
}

void FuzzChunkedBody(std::string_view bytes, size_t step) {
  const Decoded whole = Decode(bytes, bytes.size() + 1);
  const Decoded pieces = Decode(bytes, step);
  CHECK(whole.state == pieces.state);
  CHECK(whole.body == pieces.body);
  CHECK_EQ(whole.num_taken, pieces.num_taken);
  CHECK_LE(std::ssize(whole.body), whole.num_announced);
  if (whole.state == ChunkedBody::State::kComplete) {
    CHECK_EQ(std::ssize(whole.body), whole.num_announced);
  }
}

}  // namespace
}  // namespace hadal

// The first byte says how many come at a time.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) {
    return 0;
  }
  const size_t step = data[0] % 16 + 1;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  hadal::FuzzHeaderBlock(bytes, step);
  hadal::FuzzChunkedBody(bytes, step);
  return 0;
}
