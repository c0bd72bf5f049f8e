// The same over TLS.

#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include <absl/synchronization/notification.h>
#include <gtest/gtest.h>

#include "server/http/http_server.h"
#include "tests/server/http/raw_client.h"
#include "tests/server/http/test_server.h"
#include "tests/support/test_folder.h"

namespace hadal {
namespace {

constexpr TimePoint kNever = TimePoint::max();

HttpServer::Tls TlsOf(const CertificateFiles& files) {
  return {.certificate_file = files.certificate_file, .key_file = files.key_file};
}

class HttpServerTls : public testing::Test {
 protected:
  HttpServerTls() : files_(MakeCertificate(FreshTestFolder())) {}

  [[nodiscard]] TestServer::Args Args(HttpServer::Route route) const {
    return {.tls = TlsOf(files_), .route = std::move(route)};
  }

  const CertificateFiles files_;
};

TEST_F(HttpServerTls, AnswersAndKeepsTheConnection) {
  TestServer server(Args([](Exchange& exchange) {
    EXPECT_TRUE(exchange.request().is_tls);
    Echo(exchange);
  }));
  RawClient client(server.port(), RawClient::Kind::kTls, 0);
  ASSERT_TRUE(client.connected());
  EXPECT_EQ(client.tls_version(), "TLSv1.3");
  for (const size_t size : {0, 3, 16384, 16385, 1 << 20}) {
    const std::string body(size, 'x');
    EXPECT_EQ(client.Call(Post("/", body)).body, body);
  }
  client.Send(Get("/") + Get("/"));
  EXPECT_EQ(client.ReadResponse().status, 200);
  EXPECT_EQ(client.ReadResponse().status, 200);
}

TEST_F(HttpServerTls, Streams) {
  TestServer server(Args([](Exchange& exchange) {
    exchange.BeginStream({});
    for (int i = 0; i < 100; ++i) {
      EXPECT_TRUE(exchange.Write("0123456789"));
    }
    EXPECT_TRUE(exchange.Write(std::string(100'000, 'x')));
    exchange.EndStream();
  }));
  RawClient client(server.port(), RawClient::Kind::kTls, 0);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(client.Call(Get("/")).body.size(), 101'000U);
  }
}

TEST_F(HttpServerTls, RefusesAndCloses) {
  TestServer server(Args(Echo));
  RawClient client(server.port(), RawClient::Kind::kTls, 0);
  EXPECT_EQ(client.Call("BAD\r\n\r\n" + std::string(50'000, 'x')).status, 400);
  EXPECT_EQ(client.ReadToEnd(), "");
}

TEST_F(HttpServerTls, TheClientIsGone) {
  TestServer server(Args([](Exchange& exchange) {
    exchange.BeginStream({});
    exchange.Write("one");
    EXPECT_EQ(exchange.Wait(kNever), Exchange::Event::kClientGone);
    EXPECT_FALSE(exchange.Write("two"));
  }));
  auto client = std::make_unique<RawClient>(server.port(), RawClient::Kind::kTls, 0);
  client->Send(Get("/"));
  client->ReadUntil("one\r\n");
  client.reset();
  server.Await("gone", 1);
  server.Await("closed", 1);
}

TEST_F(HttpServerTls, AClientThatReadsNothingIsCutOff) {
  TestServer::Args args = Args([](Exchange& exchange) {
    exchange.BeginStream({});
    while (exchange.Write(std::string(100'000, 'x'))) {
    }
  });
  args.limits.stall_timeout = std::chrono::milliseconds(50);
  TestServer server(std::move(args));
  RawClient client(server.port(), RawClient::Kind::kTls, 4096);
  client.Send(Get("/"));
  server.Await("closed", 1);
  EXPECT_EQ(server.CountOf("stalled"), 1);
}

TEST_F(HttpServerTls, TheEndCutsOffWhatIsLeft) {
  TestServer server(Args([](Exchange& exchange) {
    exchange.BeginStream({});
    exchange.Write("one");
    EXPECT_EQ(exchange.Wait(kNever), Exchange::Event::kClientGone);
  }));
  RawClient client(server.port(), RawClient::Kind::kTls, 0);
  client.Send(Get("/"));
  client.ReadUntil("one\r\n");
  RawClient in_handshake(server.port());
  server.Await("opened", 2);
  server.Destroy();
  EXPECT_EQ(server.CountOf("closed"), 2);
}

TEST_F(HttpServerTls, HandshakesThatFailOrTakeTooLong) {
  TestServer::Args args = Args(Echo);
  args.limits.header_timeout = std::chrono::milliseconds(20);
  TestServer server(std::move(args));
  {
    RawClient silent(server.port());
    EXPECT_EQ(silent.ReadToEnd(), "");
  }
  {
    RawClient plain(server.port());
    plain.Send(Get("/"));
    EXPECT_EQ(plain.ReadToEnd().find("HTTP"), std::string::npos);
  }
  server.Await("closed", 2);
}

TEST_F(HttpServerTls, BadFiles) {
  const auto start = [](HttpServer::Tls tls) {
    return HttpServer::Start(
               {.name = "io",
                .tls = std::move(tls),
                .route = Echo,
                .make_error = [](int32_t, std::string_view) { return HttpResponse(); }})
        .status();
  };
  EXPECT_TRUE(start(TlsOf(files_)).ok());
  const absl::Status no_certificate =
      start({.certificate_file = "/none", .key_file = files_.key_file});
  EXPECT_EQ(no_certificate.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(MessageOf(no_certificate).find("/none"), std::string_view::npos);
  const absl::Status no_key =
      start({.certificate_file = files_.certificate_file, .key_file = "/none"});
  EXPECT_EQ(no_key.code(), absl::StatusCode::kInvalidArgument);

  // The key of another certificate, in a file beside.
  const std::string other_key = files_.key_file + ".other";
  std::string key;
  std::getline(std::ifstream(files_.key_file), key, '\0');
  const CertificateFiles others = MakeCertificate(FreshTestFolder());
  std::ofstream(other_key) << key;
  const absl::Status mismatch =
      start({.certificate_file = others.certificate_file, .key_file = other_key});
  EXPECT_EQ(mismatch.code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace hadal
