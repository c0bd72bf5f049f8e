#include "server/http/response_head.h"

#include <string>

#include <gtest/gtest.h>

namespace hadal {
namespace {

using std::string_literals::operator""s;

std::string Format(const HttpResponse& response, BodyFraming framing, ConnectionFate fate) {
  return FormatResponseHead({.response = response,
                             .request_id = "id",
                             .date = "today",
                             .framing = framing,
                             .content_length = 5,
                             .fate = fate});
}

TEST(ResponseHead, SaysWhereTheBodyEnds) {
  const HttpResponse response = {.content_type = "text/plain"};
  EXPECT_EQ(Format(response, BodyFraming::kContentLength, ConnectionFate::kKept),
            "HTTP/1.1 200 OK\r\nDate: today\r\nContent-Type: text/plain\r\nx-request-id: id\r\n"
            "Content-Length: 5\r\n\r\n");
  EXPECT_EQ(Format(response, BodyFraming::kChunked, ConnectionFate::kClosed),
            "HTTP/1.1 200 OK\r\nDate: today\r\nContent-Type: text/plain\r\nx-request-id: id\r\n"
            "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(Format(response, BodyFraming::kUntilClose, ConnectionFate::kClosed),
            "HTTP/1.1 200 OK\r\nDate: today\r\nContent-Type: text/plain\r\nx-request-id: id\r\n"
            "Connection: close\r\n\r\n");
  EXPECT_EQ(Format({.status = 204}, BodyFraming::kNoBody, ConnectionFate::kKeptAndSaid),
            "HTTP/1.1 204 No Content\r\nDate: today\r\nx-request-id: id\r\n"
            "Connection: keep-alive\r\n\r\n");
}

TEST(ResponseHead, ValuesAddNoLines) {
  const HttpResponse response = {
      .headers = {{.name = "X-A", .value = "b\r\nX-Evil: c\n\x01\x7F\0d"s}},
      .content_type = "text/plain\r\n\r\n<html>"};
  const std::string head = Format(response, BodyFraming::kContentLength, ConnectionFate::kKept);
  EXPECT_NE(head.find("X-A: b  X-Evil: c    d\r\n"), std::string::npos) << head;
  EXPECT_NE(head.find("Content-Type: text/plain    <html>\r\n"), std::string::npos) << head;
}

TEST(ResponseHead, OwnHeadersComeOnce) {
  const HttpResponse response = {.headers = {{.name = "content-length", .value = "7"},
                                             {.name = "Connection", .value = "upgrade"},
                                             {.name = "TRANSFER-ENCODING", .value = "gzip"},
                                             {.name = "X-Request-Id", .value = "other"},
                                             {.name = "Retry-After", .value = "3"}}};
  EXPECT_EQ(Format(response, BodyFraming::kContentLength, ConnectionFate::kKept),
            "HTTP/1.1 200 OK\r\nDate: today\r\nContent-Type: application/json\r\n"
            "Retry-After: 3\r\nx-request-id: id\r\nContent-Length: 5\r\n\r\n");
}

TEST(ResponseHead, Reasons) {
  EXPECT_EQ(ReasonPhrase(404), "Not Found");
  EXPECT_EQ(ReasonPhrase(429), "Too Many Requests");
  EXPECT_EQ(ReasonPhrase(431), "Request Header Fields Too Large");
  EXPECT_EQ(ReasonPhrase(299), "Unknown");
}

TEST(ResponseHeadDeathTest, NamesAreTokens) {
  EXPECT_DEATH(Format({.headers = {{.name = "X: y\r\nZ", .value = ""}}},
                      BodyFraming::kNoBody,
                      ConnectionFate::kKept),
               "IsTokenCharacter");
}

}  // namespace
}  // namespace hadal
