// Bodies of requests: framing, limits, and those that nobody reads.

#include <string>
#include <thread>
#include <vector>

#include <absl/strings/str_format.h>
#include <gtest/gtest.h>

#include "server/http/http_server.h"
#include "tests/server/http/raw_client.h"
#include "tests/server/http/test_server.h"

namespace hadal {
namespace {

constexpr std::string_view kChunkedHead =
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";

std::string Chunked(std::string_view body) {
  return std::string(kChunkedHead) + (body.empty() ? "" : Chunk(body)) + "0\r\n\r\n";
}

TEST(HttpServerBody, AnySize) {
  TestServer server(Echo);
  RawClient client(server.port());
  for (const size_t size : {0, 1, 4096, 32768, 100'000, 8 << 20}) {
    std::string body(size, 'x');
    for (size_t i = 0; i < size; i += 997) {
      body[i] = static_cast<char>('a' + i % 26);
    }
    std::thread sender([&] { client.Send(Post("/", body) + Chunked(body)); });
    EXPECT_EQ(client.ReadResponse().body, body) << size;
    EXPECT_EQ(client.ReadResponse().body, body) << size;
    sender.join();
  }
}

TEST(HttpServerBody, AMillionChunks) {
  TestServer server(Echo);
  RawClient client(server.port());
  std::string request(kChunkedHead);
  for (int i = 0; i < 1'000'000; ++i) {
    request += "1\r\nx\r\n";
  }
  request += "0\r\nTrailer: dropped\r\n\r\n";
  client.Send(request);
  EXPECT_EQ(client.ReadResponse().body, std::string(1'000'000, 'x'));
  EXPECT_EQ(client.Call(Post("/", "next")).body, "next");
}

TEST(HttpServerBody, MalformedChunks) {
  TestServer server(Echo);
  for (const std::string bad : {"x\r\n", "1\r\nxx", "1\nx\r\n", "-1\r\n", "0\r\n\n"}) {
    RawClient client(server.port());
    const RawResponse response = client.Call(std::string(kChunkedHead) + bad);
    EXPECT_EQ(response.status, 400) << bad;
    EXPECT_EQ(response.Find("connection"), "close");
    EXPECT_EQ(client.ReadToEnd(), "") << "what follows cannot be told apart";
  }
}

TEST(HttpServerBody, LimitOfBytes) {
  TestServer server({.limits = {.max_body_bytes = 1000}, .route = Echo});
  const std::string fits(1000, 'x');
  const std::string over(1001, 'x');
  RawClient client(server.port());
  EXPECT_EQ(client.Call(Post("/", fits)).body, fits);
  EXPECT_EQ(client.Call(Chunked(fits)).body, fits);
  EXPECT_EQ(
      client.Call(std::string(kChunkedHead) + Chunk(fits.substr(1)) + "1\r\nx\r\n0\r\n\r\n").status,
      200);
  for (const std::string& request :
       {Post("/", over),
        Chunked(over),
        std::string(kChunkedHead) + Chunk(fits) + "1\r\n",
        std::string(kChunkedHead) + "3e9\r\n",
        std::string(kChunkedHead) + "fffffffffffffff\r\n",
        std::string("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9223372036854775807\r\n\r\n")}) {
    RawClient refused(server.port());
    const RawResponse response = refused.Call(request);
    EXPECT_EQ(response.status, 413) << request.substr(0, 100);
    EXPECT_EQ(response.Find("connection"), "close");
    EXPECT_EQ(refused.ReadToEnd(), "");
  }
}

TEST(HttpServerBody, MemoryIsAskedForBeforeItIsTaken) {
  std::vector<int64_t> asked;  // the one I/O thread's, until its response has come
  TestServer server([&](Exchange& exchange) {
    asked.clear();
    const absl::StatusOr<std::string> body = exchange.ReadBody([&](int64_t num_bytes) {
      asked.push_back(num_bytes);
      return num_bytes > 1000 ? ResourceExhausted("no more than 1000 bytes") : absl::OkStatus();
    });
    exchange.Respond(body.ok() ? HttpResponse{.body = *body} : ErrorResponse(body.status()));
  });
  {
    RawClient client(server.port());
    EXPECT_EQ(client.Call(Post("/", std::string(1000, 'x'))).status, 200);
    EXPECT_EQ(asked, std::vector<int64_t>({1000}));
  }
  {
    RawClient client(server.port());
    EXPECT_EQ(client.Call(Post("/", std::string(1001, 'x'))).status, 429);
    EXPECT_EQ(client.Call(Post("/", "fits")).body, "fits") << "the connection goes on";
  }
  {
    RawClient client(server.port());
    client.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n");
    EXPECT_EQ(client.ReadResponse().status, 429) << "without waiting for the body";
    EXPECT_EQ(asked, std::vector<int64_t>({1001}));
  }
  {
    RawClient client(server.port());
    std::string request(kChunkedHead);
    for (int i = 0; i < 500; ++i) {
      request += "2\r\nxx\r\n";
    }
    EXPECT_EQ(client.Call(request + "0\r\n\r\n").status, 429) << "it would grow by doubling";
    ASSERT_GT(asked.size(), 2U);
    EXPECT_LT(asked.size(), 20U) << "not for each chunk";
    EXPECT_GT(asked.back(), 1000);
  }
}

TEST(HttpServerBody, ContinueIsSaidWhenTheBodyIsWanted) {
  TestServer server(Echo);
  RawClient client(server.port());
  const std::string head =
      "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(client.Call(head).head, "HTTP/1.1 100 Continue");
    client.Send("abc");
    EXPECT_EQ(client.ReadResponse().body, "abc");
  }
  client.Send(head + "abc");
  EXPECT_EQ(client.ReadResponse().body, "abc") << "it did not wait, so nothing is said";
}

TEST(HttpServerBody, ContinueIsNotSaidToThoseThatAreRefused) {
  TestServer server({.limits = {.max_body_bytes = 2}, .route = Echo});
  for (const std::string version : {"1.1", "1.0"}) {
    RawClient client(server.port());
    const RawResponse response =
        client.Call("POST / HTTP/" + version +
                    "\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    EXPECT_EQ(response.status, 413);
    EXPECT_EQ(response.Find("connection"), "close");
  }
}

TEST(HttpServerBody, ABodyThatNobodyReads) {
  TestServer server(
      [](Exchange& exchange) { exchange.Respond({.body = exchange.request().path}); });
  RawClient client(server.port());
  EXPECT_EQ(client.Call(Post("/short", std::string(65536, 'x'))).Find("connection"), std::nullopt);
  EXPECT_EQ(client.Call(Get("/next")).body, "/next");
  client.Send(Post("/slow", std::string(1000, 'x')).substr(0, 100));
  EXPECT_EQ(client.ReadResponse().body, "/slow");
  client.Send(std::string(1000, 'x').substr(0, Post("/slow", std::string(1000, 'x')).size() - 100));
  EXPECT_EQ(client.Call(Get("/next")).body, "/next");

  const RawResponse last = client.Call(Post("/long", std::string(65537, 'x')));
  EXPECT_EQ(last.Find("connection"), "close");
  EXPECT_EQ(client.ReadToEnd(), "");
  EXPECT_EQ(RawClient(server.port()).Call(Chunked("abc")).Find("connection"), "close");
  EXPECT_EQ(RawClient(server.port())
                .Call("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                      "Content-Length: 3\r\n\r\n")
                .Find("connection"),
            "close");
}

TEST(HttpServerBody, TheClientGoesInTheMiddle) {
  TestServer server([](Exchange& exchange) {
    EXPECT_EQ(exchange.ReadBody(ReserveAnything).status().code(), absl::StatusCode::kCancelled);
    exchange.Respond({});
  });
  for (const std::string& part : {Post("/", "abc").substr(0, Post("/", "abc").size() - 1),
                                  std::string(kChunkedHead) + "5\r\nx"}) {
    RawClient client(server.port());
    client.Send(part);
    client.ShutdownSend();
    client.ReadToEnd();
  }
  server.Await("gone", 2);
}

TEST(HttpServerBody, ABodyThatIsTooSlow) {
  TestServer server({.limits = {.body_timeout = std::chrono::milliseconds(20)}, .route = Echo});
  for (const std::string& part : {Post("/", "abc").substr(0, Post("/", "abc").size() - 1),
                                  std::string(kChunkedHead) + "5\r\nx"}) {
    RawClient client(server.port());
    EXPECT_EQ(client.Call(part).status, 408);
    EXPECT_EQ(client.ReadToEnd(), "");
  }
}

// The first three bytes are read with the headers, which leaves nothing to wait for.
TEST(HttpServerBody, AHalfClosedClientIsStillAnswered) {
  TestServer server(Echo);
  RawClient client(server.port());
  client.Send(Post("/", "abc"));
  client.ShutdownSend();
  EXPECT_EQ(client.ReadResponse().body, "abc");
  EXPECT_EQ(client.ReadToEnd(), "");
}

}  // namespace
}  // namespace hadal
