// What the server refuses by itself: malformed requests, limits, time-outs, too many connections.

#include <memory>
#include <string>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <absl/strings/str_format.h>
#include <gtest/gtest.h>

#include "server/http/http_server.h"
#include "tests/server/http/raw_client.h"
#include "tests/server/http/test_server.h"

namespace hadal {
namespace {

void Ok(Exchange& exchange) {
  exchange.Respond({.body = "ok"});
}

void ExpectRefusal(TestServer& server, std::string_view bytes, int32_t status) {
  const std::string counter = absl::StrFormat("refused %d", status);
  const int64_t num_before = server.CountOf(counter);
  RawClient client(server.port());
  client.Send(bytes);
  const RawResponse response = client.ReadResponse();
  EXPECT_EQ(response.status, status) << bytes.substr(0, 100);
  EXPECT_TRUE(response.body.starts_with(R"({"error":")")) << response.body;
  EXPECT_EQ(response.Find("connection"), "close");
  EXPECT_EQ(response.Find("x-request-id").value_or("").size(), 32U);
  EXPECT_EQ(client.ReadToEnd(), "");
  EXPECT_EQ(server.CountOf(counter), num_before + 1);
}

TEST(HttpServerRefusal, EachStatus) {
  TestServer server(Ok);
  ExpectRefusal(server, "GET / HTTP/1.1\r\n\r\n", 400);
  ExpectRefusal(server, "GET / HTTP/1.1\nHost: h\n\n", 400);
  ExpectRefusal(server, "\x16\x03\x01\x02\x01\n", 400);
  ExpectRefusal(
      server, "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n", 413);
  ExpectRefusal(server, "GET /" + std::string(9000, 'a'), 414);
  ExpectRefusal(server, "GET / HTTP/1.1\r\nHost: h\r\nExpect: more\r\n\r\n", 417);
  ExpectRefusal(server, "GET / HTTP/1.1\r\nHost: h\r\nA: " + std::string(17000, 'a'), 431);
  ExpectRefusal(server, "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501);
  ExpectRefusal(server, "GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505);
  EXPECT_EQ(RawClient(server.port()).Call(Get("/")).status, 200);
}

// The client goes on sending what nobody wants; it sees the answer all the same, and no reset.
TEST(HttpServerRefusal, TheAnswerArrivesThoughTheClientGoesOnSending) {
  TestServer server(Ok);
  for (int i = 0; i < 20; ++i) {
    ExpectRefusal(server, "BAD\r\n\r\n" + std::string(200'000, 'x'), 400);
  }
}

TEST(HttpServerRefusal, LimitsAreInclusive) {
  TestServer server(
      {.limits = {.max_request_line_bytes = 50, .max_header_bytes = 100, .max_headers = 5},
       .route = Ok});
  const auto with_line = [](size_t size) {
    return "GET /" + std::string(size - 14, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n";
  };
  const auto with_bytes = [](size_t size) {
    return "GET / HTTP/1.1\r\nHost: h\r\nA:" + std::string(size - 13, 'a') + "\r\n\r\n";
  };
  const auto with_headers = [](int count) {
    std::string request = "GET / HTTP/1.1\r\nHost: h\r\n";
    for (int i = 1; i < count; ++i) {
      request += "A: b\r\n";
    }
    return request + "\r\n";
  };
  RawClient client(server.port());
  EXPECT_EQ(client.Call(with_line(50)).status, 200);
  EXPECT_EQ(client.Call(with_bytes(100)).status, 200);
  EXPECT_EQ(client.Call(with_headers(5)).status, 200);
  ExpectRefusal(server, with_line(51), 414);
  ExpectRefusal(server, with_bytes(101), 431);
  ExpectRefusal(server, with_headers(6), 431);
}

TEST(HttpServerRefusal, PipelinedGarbage) {
  TestServer server(Ok);
  RawClient client(server.port());
  client.Send(Get("/") + Get("/") + "garbage\r\n\r\n" + Get("/"));
  EXPECT_EQ(client.ReadResponse().status, 200);
  EXPECT_EQ(client.ReadResponse().status, 200);
  EXPECT_EQ(client.ReadResponse().status, 400);
  EXPECT_EQ(client.ReadToEnd(), "");
}

TEST(HttpServerRefusal, HeadersThatAreTooSlow) {
  TestServer server({.limits = {.header_timeout = std::chrono::milliseconds(20)}, .route = Ok});
  ExpectRefusal(server, "G", 408);
  ExpectRefusal(server, "GET / HTTP/1.1\r\nHost: h\r\n", 408);
  RawClient silent(server.port());
  EXPECT_EQ(silent.ReadToEnd(), "") << "who has said nothing needs no answer";
}

// Each byte comes in time for the next; all together do not.
TEST(HttpServerRefusal, HeadersThatTrickle) {
  TestServer server(
      {.limits = {.max_header_bytes = 1 << 30, .header_timeout = std::chrono::milliseconds(50)},
       .route = Ok});
  RawClient client(server.port());
  std::thread reader([&] { EXPECT_EQ(client.ReadResponse().status, 408); });
  client.Send("GET / HTTP/1.1\r\nA: ");
  while (client.Send("a") && server.CountOf("refused 408") == 0) {
  }
  reader.join();
}

TEST(HttpServerRefusal, IdleConnectionsEnd) {
  TestServer server({.limits = {.idle_timeout = std::chrono::milliseconds(20)}, .route = Ok});
  RawClient client(server.port());
  EXPECT_EQ(client.Call(Get("/")).status, 200);
  EXPECT_EQ(client.ReadToEnd(), "");
  server.Await("closed", 1);
}

TEST(HttpServerRefusal, TooManyConnections) {
  TestServer server({.limits = {.max_connections = 3}, .route = Ok});
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<RawClient>(server.port()));
    EXPECT_EQ(clients.back()->Call(Get("/")).status, 200);
  }
  ExpectRefusal(server, Get("/"), 503);
  EXPECT_EQ(clients.front()->Call(Get("/")).status, 200);
  clients.pop_back();
  server.Await("closed", 1);
  RawClient next(server.port());
  EXPECT_EQ(next.Call(Get("/")).status, 200);
  EXPECT_EQ(server.CountOf("opened"), 4) << "those refused do not count";
}

TEST(HttpServerRefusal, TooManyConnectionsOfAnAddress) {
  TestServer server(
      {.limits = {.max_connections = 100, .max_connections_per_address = 2}, .route = Ok});
  RawClient first(server.port());
  EXPECT_EQ(first.Call(Get("/")).status, 200);
  {
    RawClient second(server.port());
    EXPECT_EQ(second.Call(Get("/")).status, 200);
    ExpectRefusal(server, Get("/"), 503);
  }
  server.Await("closed", 1);
  EXPECT_EQ(RawClient(server.port()).Call(Get("/")).status, 200);
}

TEST(HttpServerRefusal, MoreThanCanBeTold) {
  TestServer server({.limits = {.max_connections = 1}, .route = Ok});
  RawClient first(server.port());
  EXPECT_EQ(first.Call(Get("/")).status, 200);
  std::vector<std::unique_ptr<RawClient>> others;
  int64_t num_told = 0;
  for (int i = 0; i < 200; ++i) {
    others.push_back(std::make_unique<RawClient>(server.port()));
    const std::string answer = others.back()->ReadUntil("\r\n\r\n");
    num_told += answer.starts_with("HTTP/1.1 503") ? 1 : 0;
  }
  EXPECT_GE(num_told, 64);
  EXPECT_EQ(server.CountOf("refused 503"), num_told);
  EXPECT_EQ(first.Call(Get("/")).status, 200);
}

// The other connection's answer comes behind the failed try.
TEST(HttpServerRefusal, FileDescriptorsRunOut) {
#ifdef HADAL_SANITIZED
  GTEST_SKIP() << "the check of virtual calls opens a pipe, and takes its failure for a bad object";
#endif
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  TestServer server(Ok);
  RawClient other(server.port());
  EXPECT_EQ(other.Call(Get("/")).status, 200);
  const rlimit few = {.rlim_cur = 200, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  std::vector<int> used;
  for (int file = dup(0); file >= 0; file = dup(0)) {
    used.push_back(file);
  }
  ASSERT_FALSE(used.empty());
  close(used.back());
  used.pop_back();
  RawClient waiting(server.port());  // with the last one
  EXPECT_EQ(other.Call(Get("/")).status, 200);
  EXPECT_EQ(server.CountOf("opened"), 1);
  for (const int file : used) {
    close(file);
  }
  EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(waiting.Call(Get("/")).status, 200);
}

}  // namespace
}  // namespace hadal
