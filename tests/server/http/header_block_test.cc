#include "server/http/header_block.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

namespace hadal {
namespace {

using std::string_literals::operator""s;

constexpr HeaderBlockLimits kLimits = {
    .max_request_line_bytes = 8192, .max_header_bytes = 16384, .max_headers = 64};

struct Parsed {
  int32_t status = 0;  // 200: it passed; 0: it is not complete
  HeaderBlock block;
};

// As a connection does it; `step` bytes come at a time.
Parsed Parse(std::string_view bytes, const HeaderBlockLimits& limits, size_t step) {
  HeaderBlockScanner scanner(limits);
  HeaderBlockScanner::Result result = HeaderBlockScanner::Result::kNeedsMore;
  for (size_t size = 0; size < bytes.size() && result == HeaderBlockScanner::Result::kNeedsMore;) {
    size = std::min(size + step, bytes.size());
    result = scanner.Scan(bytes.substr(0, size));
  }
  if (result == HeaderBlockScanner::Result::kNeedsMore) {
    return {};
  }
  if (result == HeaderBlockScanner::Result::kRefused) {
    EXPECT_FALSE(scanner.refusal().message.empty());
    return {scanner.refusal().status, {}};
  }
  auto parsed = ParseHeaderBlock(bytes.substr(0, scanner.size()));
  if (const auto* refusal = std::get_if<HttpRefusal>(&parsed)) {
    EXPECT_FALSE(refusal->message.empty());
    return {refusal->status, {}};
  }
  return {200, std::get<HeaderBlock>(std::move(parsed))};
}

Parsed Parse(std::string_view bytes) {
  return Parse(bytes, kLimits, bytes.size());
}

// The whole request of a case, and what comes of it.
struct Case {
  std::string bytes;
  int32_t status;
};

void ExpectStatuses(const std::vector<Case>& cases) {
  for (const Case& test : cases) {
    EXPECT_EQ(Parse(test.bytes).status, test.status) << testing::PrintToString(test.bytes);
    EXPECT_EQ(Parse(test.bytes, kLimits, 1).status, test.status)
        << "byte by byte: " << testing::PrintToString(test.bytes);
  }
}

// Cases that differ in one place of a request.
std::vector<Case> InPlace(const std::string& before,
                          const std::string& after,
                          std::vector<Case> cases) {
  for (Case& test : cases) {
    test.bytes = before + test.bytes + after;
  }
  return cases;
}

TEST(HeaderBlock, RequestLines) {
  ExpectStatuses(InPlace("",
                         "\r\nHost: h\r\n\r\n",
                         {
                             {"GET / HTTP/1.1", 200},
                             {"GET / HTTP/1.0", 200},
                             {"POST /v1/chat/completions HTTP/1.1", 200},
                             {"DELETE /a/b HTTP/1.1", 200},
                             {"HEAD / HTTP/1.1", 200},
                             {"OPTIONS /a HTTP/1.1", 200},
                             {"get / HTTP/1.1", 200},
                             {"M-SEARCH / HTTP/1.1", 200},
                             {"!#$%&'*+-.^_`|~09 / HTTP/1.1", 200},
                             {"GET /a?b=c&d HTTP/1.1", 200},
                             {"GET /? HTTP/1.1", 200},
                             {"GET /%00%0d%0a HTTP/1.1", 200},
                             {"GET //a/../b/./;c HTTP/1.1", 200},
                             {"GET /a\\b|\"<>^`{} HTTP/1.1", 200},
                             {"", 400},
                             {" ", 400},
                             {"GET", 400},
                             {"GET /", 400},
                             {"GET / ", 400},
                             {"GET HTTP/1.1", 400},
                             {"/ HTTP/1.1", 400},
                             {" GET / HTTP/1.1", 400},
                             {"GET  / HTTP/1.1", 400},
                             {"GET /  HTTP/1.1", 400},
                             {"GET / HTTP/1.1 ", 400},
                             {"GET\t/ HTTP/1.1", 400},
                             {"GET /\tHTTP/1.1", 400},
                             {"GET / a HTTP/1.1", 400},
                             {"GET /a b HTTP/1.1", 400},
                             {"G(T / HTTP/1.1", 400},
                             {"GET: / HTTP/1.1", 400},
                             {"G\xC3\x84T / HTTP/1.1", 400},
                             {"G\0T / HTTP/1.1"s, 400},
                             {"GET a HTTP/1.1", 400},
                             {"GET * HTTP/1.1", 400},
                             {"OPTIONS * HTTP/1.1", 400},
                             {"GET http://h/ HTTP/1.1", 400},
                             {"CONNECT h:80 HTTP/1.1", 400},
                             {"GET /a#b HTTP/1.1", 400},
                             {"GET /\x01 HTTP/1.1", 400},
                             {"GET /\x7F HTTP/1.1", 400},
                             {"GET /\xC3\xA4 HTTP/1.1", 400},
                             {"GET /a\0b HTTP/1.1"s, 400},
                             {"GET / HTTP/1", 400},
                             {"GET / HTTP/11", 400},
                             {"GET / HTTP/1.", 400},
                             {"GET / HTTP/1.10", 400},
                             {"GET / HTTP/1,1", 400},
                             {"GET / HTTP/x.1", 400},
                             {"GET / http/1.1", 400},
                             {"GET / HTTPS/1.1", 400},
                             {"GET / HTTP 1.1", 400},
                             {"GET / HTTP/1.1x", 400},
                             {"GET / HTTP/1.2", 505},
                             {"GET / HTTP/0.9", 505},
                             {"GET / HTTP/2.0", 505},
                             {"PRI * HTTP/2.0", 505},
                             {"GET / HTTP/9.9", 505},
                         }));
}

TEST(HeaderBlock, Lines) {
  ExpectStatuses({
      {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 200},
      {"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET", 200},
      {"GET / HTTP/1.0\r\n\r\n", 200},
      {"GET / HTTP/1.1\r\nHost: h\r\n", 0},
      {"GET / HTTP/1.1\r\nHost: h\r\n\r", 0},
      {"GET / HTTP/1.1\r\nHo", 0},
      {"GET / HTTP/1.1\r", 0},
      {"GET", 0},
      {"\r\n", 400},
      {"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET / HTTP/1.1\nHost: h\n\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\n\n", 400},
      {"GET / HTTP/1.1\nHost: h\r\n\r\n", 400},
      {"GET / HTTP/1.1\rHost: h\r\r", 400},
      {"GET / HTTP/1.1\r\r\nHost: h\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\rx\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\n\rx", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\nA: b\nC: d\r\n\r\n", 400},
      {"GET /\r HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET /\r\n HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03\n"s, 400},  // TLS
  });
}

TEST(HeaderBlock, Headers) {
  ExpectStatuses(InPlace("GET / HTTP/1.1\r\nHost: h\r\n",
                         "\r\n\r\n",
                         {
                             {"A: b", 200},
                             {"A:b", 200},
                             {"A:", 200},
                             {"A: ", 200},
                             {"A: \t b \t ", 200},
                             {"A: b\tc", 200},
                             {"A: b: c:", 200},
                             {"A: \xC3\xA4\xFF\x80", 200},
                             {"!#$%&'*+-.^_`|~: b", 200},
                             {"A: b\r\nA: c", 200},
                             {"a: \"b\\\"c\"", 200},
                             {"X-Request-Id: a\r\nX-Request-Id: b", 200},
                             {" A: b", 400},
                             {"\tA: b", 400},
                             {"A: b\r\n c", 400},
                             {"A: b\r\n\tc", 400},
                             {"A: b\r\n ", 400},
                             {"A : b", 400},
                             {"A\t: b", 400},
                             {"A b: c", 400},
                             {": b", 400},
                             {":", 400},
                             {"A", 400},
                             {"A b", 400},
                             {"A(: b", 400},
                             {"A\x80: b", 400},
                             {"A\0: b"s, 400},
                             {"A: \0"s, 400},
                             {"A: b\0c"s, 400},
                             {"A: \x01", 400},
                             {"A: \x1B[31m", 400},
                             {"A: \x7F", 400},
                             {"A: \x0B", 400},
                             {"Authorization: a\r\nAuthorization: a", 400},
                             {"Authorization: a\r\nauthorization: b", 400},
                             {"X-Api-Key: a\r\nX-Api-Key: b", 400},
                             {"Content-Type: a\r\nCONTENT-TYPE: b", 400},
                             {"Content-Encoding: a\r\nContent-Encoding: b", 400},
                             {"Origin: a\r\nOrigin: b", 400},
                             {"X-Request-Timeout: 1\r\nX-Request-Timeout: 2", 400},
                             {"Host: h", 400},
                             {"host: i", 400},
                         }));
}

TEST(HeaderBlock, Hosts) {
  ExpectStatuses(InPlace("GET / HTTP/1.1\r\n",
                         "\r\n\r\n",
                         {
                             {"Host: h", 200},
                             {"hOST:h", 200},
                             {"Host: localhost:8080", 200},
                             {"Host: a-b_c.example.", 200},
                             {"Host: 127.0.0.1:65535", 200},
                             {"Host: h:0", 200},
                             {"Host: [::1]", 200},
                             {"Host: [::1]:80", 200},
                             {"Host: [::ffff:1.2.3.4]:80", 200},
                             {"A: b", 400},
                             {"Hos: h", 400},
                             {"Host:", 400},
                             {"Host: ", 400},
                             {"Host: :80", 400},
                             {"Host: h:", 400},
                             {"Host: h:x", 400},
                             {"Host: h:-1", 400},
                             {"Host: h:65536", 400},
                             {"Host: h:000080", 400},
                             {"Host: h:80:80", 400},
                             {"Host: a b", 400},
                             {"Host: a,b", 400},
                             {"Host: a/b", 400},
                             {"Host: a@b", 400},
                             {"Host: a%20", 400},
                             {"Host: a\\b", 400},
                             {"Host: \xC3\xA4", 400},
                             {"Host: [::1", 400},
                             {"Host: ::1", 400},
                             {"Host: []", 400},
                             {"Host: [g]", 400},
                             {"Host: [::1]x", 400},
                             {"Host: [::1]:x", 400},
                             {"Host: x[::1]", 400},
                         }));
  ExpectStatuses(InPlace("GET / HTTP/1.0\r\n",
                         "\r\n\r\n",
                         {
                             {"A: b", 200},
                             {"Host: h", 200},
                             {"Host: h\r\nHost: h", 400},
                             {"Host: a/b", 400},
                         }));
}

TEST(HeaderBlock, Framing) {
  ExpectStatuses(InPlace("POST / HTTP/1.1\r\nHost: h\r\n",
                         "\r\n\r\n",
                         {
                             {"Content-Length: 0", 200},
                             {"Content-Length: 7", 200},
                             {"Content-Length:\t7\t", 200},
                             {"content-length: 007", 200},
                             {"Content-Length: 9223372036854775807", 200},
                             {"Content-Length: 9223372036854775808", 413},
                             {"Content-Length: 18446744073709551616", 413},
                             {"Content-Length: 99999999999999999999999999", 413},
                             {"Content-Length:", 400},
                             {"Content-Length: -1", 400},
                             {"Content-Length: +1", 400},
                             {"Content-Length: 1.0", 400},
                             {"Content-Length: 1e3", 400},
                             {"Content-Length: 0x10", 400},
                             {"Content-Length: 1 1", 400},
                             {"Content-Length: 1, 1", 400},
                             {"Content-Length: 1,", 400},
                             {"Content-Length: \"1\"", 400},
                             {"Content-Length: \xD9\xA1", 400},
                             {"Content-Length: 1\r\nContent-Length: 1", 400},
                             {"Content-Length: 1\r\nContent-Length: 2", 400},
                             {"Content-Length: 1\r\nA: b\r\ncontent-length: 1", 400},
                             {"Content_Length: x", 200},
                             {"Transfer-Encoding: chunked", 200},
                             {"transfer-encoding:CHUNKED", 200},
                             {"Transfer-Encoding: identity", 501},
                             {"Transfer-Encoding: gzip", 501},
                             {"Transfer-Encoding: gzip, chunked", 501},
                             {"Transfer-Encoding: chunked, chunked", 501},
                             {"Transfer-Encoding: chunked;q=1", 501},
                             {"Transfer-Encoding: xchunked", 501},
                             {"Transfer-Encoding: chunked\x0B", 400},
                             {"Transfer-Encoding: \"chunked\"", 501},
                             {"Transfer-Encoding:", 501},
                             {"Transfer-Encoding : chunked", 400},
                             {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400},
                             {"Transfer-Encoding: chunked\r\nTransfer-Encoding: x", 400},
                             {"Transfer-Encoding: chunked\r\nContent-Length: 1", 400},
                             {"Content-Length: 1\r\nTransfer-Encoding: chunked", 400},
                             {"Content-Length: 0\r\nTransfer-Encoding: identity", 400},
                             {"Transfer-Encoding:\r\n chunked", 400},
                             {"Expect: 100-continue\r\nContent-Length: 1", 200},
                             {"expect: 100-Continue", 200},
                             {"Expect: 200-ok", 417},
                             {"Expect:", 417},
                             {"Expect: 100-continue\r\nExpect: 100-continue", 400},
                         }));
  ExpectStatuses(InPlace("POST / HTTP/1.0\r\n",
                         "\r\n\r\n",
                         {
                             {"Content-Length: 7", 200},
                             {"Transfer-Encoding: chunked", 400},
                             {"Expect: anything", 200},
                         }));
}

TEST(HeaderBlock, TakesRequestsApart) {
  const HeaderBlock block = Parse(
                                "POST /a/b%20c?d=e?f HTTP/1.1\r\nhost: h:1\r\nX-A:  b c \r\n"
                                "x-a: second\r\nContent-Length: 12\r\n\r\n")
                                .block;
  EXPECT_EQ(block.request.method, "POST");
  EXPECT_EQ(block.request.path, "/a/b%20c");
  EXPECT_EQ(block.request.query, "d=e?f");
  EXPECT_EQ(block.request.headers.size(), 4U);
  EXPECT_EQ(block.request.Find("HOST"), "h:1");
  EXPECT_EQ(block.request.Find("x-A"), "b c");
  EXPECT_EQ(block.request.Find("x-b"), std::nullopt);
  EXPECT_EQ(block.request.content_length, 12);
  EXPECT_TRUE(block.request.has_body);
  EXPECT_FALSE(block.is_chunked);
  EXPECT_FALSE(block.is_http_1_0);
}

TEST(HeaderBlock, Bodies) {
  const auto parse = [](const std::string& headers) {
    return Parse("POST / HTTP/1.1\r\nHost: h\r\n" + headers + "\r\n").block;
  };
  EXPECT_FALSE(parse("").request.has_body);
  EXPECT_EQ(parse("").request.content_length, std::nullopt);
  EXPECT_FALSE(parse("Content-Length: 0\r\n").request.has_body);
  EXPECT_EQ(parse("Content-Length: 0\r\n").request.content_length, 0);
  EXPECT_TRUE(parse("Transfer-Encoding: chunked\r\n").request.has_body);
  EXPECT_TRUE(parse("Transfer-Encoding: chunked\r\n").is_chunked);
  EXPECT_TRUE(parse("Expect: 100-continue\r\nContent-Length: 1\r\n").expects_continue);
  EXPECT_FALSE(parse("Expect: 100-continue\r\n").expects_continue);
  EXPECT_FALSE(Parse("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
                   .block.expects_continue);
}

TEST(HeaderBlock, KeepAlive) {
  const auto keeps = [](const std::string& version, const std::string& headers) {
    return Parse("GET / HTTP/" + version + "\r\nHost: h\r\n" + headers + "\r\n").block.keeps_alive;
  };
  EXPECT_TRUE(keeps("1.1", ""));
  EXPECT_TRUE(keeps("1.1", "Connection: keep-alive\r\n"));
  EXPECT_TRUE(keeps("1.1", "Connection: upgrade, x\r\n"));
  EXPECT_TRUE(keeps("1.1", "Connection: closed\r\n"));
  EXPECT_FALSE(keeps("1.1", "Connection: close\r\n"));
  EXPECT_FALSE(keeps("1.1", "connection: a ,\tCLOSE\t, b\r\n"));
  EXPECT_FALSE(keeps("1.1", "Connection: keep-alive\r\nConnection: close\r\n"));
  EXPECT_FALSE(keeps("1.0", ""));
  EXPECT_TRUE(keeps("1.0", "Connection: Keep-Alive\r\n"));
  EXPECT_FALSE(keeps("1.0", "Connection: keep-alive, close\r\n"));
}

TEST(HeaderBlock, RequestIds) {
  const auto id = [](const std::string& value) {
    return Parse("GET / HTTP/1.1\r\nHost: h\r\nX-Request-Id: " + value + "\r\n\r\n")
        .block.request.request_id;
  };
  EXPECT_EQ(id("aZ09._-"), "aZ09._-");
  EXPECT_EQ(id(std::string(64, 'a')), std::string(64, 'a'));
  for (const std::string& bad :
       {""s, std::string(65, 'a'), "a b"s, "a\"b"s, "a\xC3\xA4"s, "a/b"s, "a\xE2\x80\xA8"s}) {
    EXPECT_EQ(id(bad), "") << bad;
  }
}

TEST(HeaderBlock, LimitOfTheRequestLine) {
  constexpr HeaderBlockLimits kTight = {
      .max_request_line_bytes = 20, .max_header_bytes = 100, .max_headers = 9};
  const std::string fits = "GET /" + std::string(6, 'a') + " HTTP/1.1";
  ASSERT_EQ(fits.size(), 20U);
  const std::string over = "GET /" + std::string(7, 'a') + " HTTP/1.1";
  for (const size_t step : {size_t{1}, size_t{3}, size_t{1000}}) {
    EXPECT_EQ(Parse(fits + "\r\nHost: h\r\n\r\n", kTight, step).status, 200);
    EXPECT_EQ(Parse(over + "\r\nHost: h\r\n\r\n", kTight, step).status, 414);
    EXPECT_EQ(Parse(fits, kTight, step).status, 0);
    EXPECT_EQ(Parse(over, kTight, step).status, 414) << "without waiting for the line's end";
  }
}

TEST(HeaderBlock, LimitOfHeaderBytes) {
  constexpr HeaderBlockLimits kTight = {
      .max_request_line_bytes = 20, .max_header_bytes = 20, .max_headers = 9};
  const std::string line = "GET / HTTP/1.1\r\nHost: h\r\n";  // 9 bytes of headers
  for (const size_t step : {size_t{1}, size_t{3}, size_t{1000}}) {
    EXPECT_EQ(Parse(line + "A: 345678\r\n\r\n", kTight, step).status, 200);
    EXPECT_EQ(Parse(line + "A: 3456789\r\n\r\n", kTight, step).status, 431);
    EXPECT_EQ(Parse(line + "A: 345678\r\nB:\r\n\r\n", kTight, step).status, 431);
    EXPECT_EQ(Parse(line + "A: 345678\r\n\r", kTight, step).status, 0);
    EXPECT_EQ(Parse(line + "A: 34567890", kTight, step).status, 0);
    EXPECT_EQ(Parse(line + "A: 345678901", kTight, step).status, 431);
  }
}

TEST(HeaderBlock, LimitOfHeaders) {
  std::string headers = "GET / HTTP/1.1\r\nHost: h\r\n";
  for (int i = 1; i < 64; ++i) {
    headers += "A: b\r\n";
  }
  EXPECT_EQ(Parse(headers + "\r\n").status, 200);
  EXPECT_EQ(Parse(headers + "A: b\r\n\r\n").status, 431);
  EXPECT_EQ(Parse(headers + "A: b\r\n").status, 431);
}

// Whatever it is given, also what the scanner would not let through.
TEST(HeaderBlock, ParsesAnything) {
  for (const std::string& bytes : {""s,
                                   "\r\n"s,
                                   "\r\n\r\n"s,
                                   "GET / HTTP/1.1"s,
                                   "GET / HTTP/1.1\r\nHost: h\r\n"s,
                                   "GET / HTTP/1.1\r\nHost: h\r\n\r\nmore"s,
                                   "GET / HTTP/1.1\nHost: h\n\n"s,
                                   "GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n"s}) {
    EXPECT_TRUE(std::holds_alternative<HttpRefusal>(ParseHeaderBlock(bytes)))
        << testing::PrintToString(bytes);
  }
}

}  // namespace
}  // namespace hadal
