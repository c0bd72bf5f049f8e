#include "tests/server/http/test_server.h"

#include <absl/strings/str_format.h>
#include <gtest/gtest.h>

#include "base/check.h"

namespace hadal {
namespace {

HttpResponse MakeError(int32_t status, std::string_view message) {
  return {.status = status, .body = absl::StrFormat(R"({"error":"%s"})", message)};
}

}  // namespace

TestServer::TestServer(Args args) {
  HttpObserver observer;
  observer.connections = [this](int64_t change) { Count(change > 0 ? "opened" : "closed"); };
  observer.client_gone = [this] { Count("gone"); };
  observer.client_stalled = [this] { Count("stalled"); };
  observer.refused = [this](int32_t status) { Count("refused " + std::to_string(status)); };
  observer.thread_was_busy = [this](Duration delay) {
    CHECK(delay >= Duration::zero());
    Count("busy");
  };
  auto server = HttpServer::Start({.name = "io",
                                   .num_threads = args.num_threads,
                                   .limits = args.limits,
                                   .tls = args.tls,
                                   .route = std::move(args.route),
                                   .make_error = MakeError,
                                   .observer = observer});
  CHECK(server.ok());
  server_ = *std::move(server);
}

void TestServer::Count(const std::string& name) {
  const absl::MutexLock lock(&mutex_);
  ++counts_[name];
}

int64_t TestServer::CountOf(const std::string& name) {
  const absl::MutexLock lock(&mutex_);
  return counts_[name];
}

void TestServer::Await(const std::string& name, int64_t count) {
  const auto enough = [&]()
                          ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return counts_[name] >= count; };
  const absl::MutexLock lock(&mutex_);
  EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&enough), absl::Seconds(60)))
      << name << ": " << counts_[name] << " of " << count;
}

std::string Get(std::string_view path) {
  return absl::StrFormat("GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
}

std::string Post(std::string_view path, std::string_view body) {
  return absl::StrFormat("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s",
                         path,
                         body.size(),
                         body);
}

std::string Chunk(std::string_view data) {
  return absl::StrFormat("%x\r\n%s\r\n", data.size(), data);
}

absl::Status ReserveAnything(int64_t) {
  return absl::OkStatus();
}

HttpResponse ErrorResponse(const absl::Status& status) {
  const std::string message(MessageOf(status));
  switch (status.code()) {
    case absl::StatusCode::kOutOfRange:
      return MakeError(413, message);
    case absl::StatusCode::kDeadlineExceeded:
      return MakeError(408, message);
    case absl::StatusCode::kInvalidArgument:
      return MakeError(400, message);
    case absl::StatusCode::kResourceExhausted:
      return MakeError(429, message);
    default:
      return MakeError(499, message);
  }
}

void Echo(Exchange& exchange) {
  absl::StatusOr<std::string> body = exchange.ReadBody(ReserveAnything);
  if (!body.ok()) {
    exchange.Respond(ErrorResponse(body.status()));
    return;
  }
  exchange.Respond({.content_type = "text/plain", .body = *std::move(body)});
}

}  // namespace hadal
