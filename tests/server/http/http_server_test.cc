#include "server/http/http_server.h"

#include <gtest/gtest.h>

#include "tests/server/http/raw_client.h"
#include "tests/server/http/test_server.h"

namespace hadal {
namespace {

void Hello(Exchange& exchange) {
  exchange.Respond({.content_type = "text/plain", .body = "hello " + exchange.request().path});
}

TEST(HttpServer, AnswersAndKeepsTheConnection) {
  TestServer server(Hello);
  RawClient client(server.port());
  for (int i = 0; i < 3; ++i) {
    const RawResponse response = client.Call(Get("/a?b=c"));
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, "hello /a");
    EXPECT_EQ(response.Find("content-type"), "text/plain");
    EXPECT_EQ(response.Find("content-length"), "8");
    EXPECT_EQ(response.Find("connection"), std::nullopt);
    EXPECT_TRUE(response.Find("date")->ends_with(" GMT"));
  }
}

TEST(HttpServer, EchoesBodies) {
  TestServer server(Echo);
  RawClient client(server.port());
  EXPECT_EQ(client.Call(Post("/", "abc")).body, "abc");
  const std::string large(1 << 20, 'x');
  EXPECT_EQ(client.Call(Post("/", large)).body, large);
  client.Send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_EQ(client.Call(Chunk("abc") + Chunk("def") + "0\r\n\r\n").body, "abcdef");
}

TEST(HttpServer, Streams) {
  TestServer server([](Exchange& exchange) {
    exchange.BeginStream({.content_type = "text/event-stream"});
    for (const char* piece : {"one", "", "two"}) {
      EXPECT_TRUE(exchange.Write(piece));
    }
    exchange.EndStream();
  });
  RawClient client(server.port());
  for (int i = 0; i < 2; ++i) {
    const RawResponse response = client.Call(Get("/"));
    EXPECT_TRUE(response.complete);
    EXPECT_EQ(response.body, "onetwo");
  }
}

}  // namespace
}  // namespace hadal
