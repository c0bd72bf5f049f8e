#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include "server/http/http_server.h"

namespace hadal {

/// A server on a free port of loopback, and what its observer was told.
class TestServer {
 public:
  using Route = HttpServer::Route;

  /// What a test may want to be otherwise.
  struct Args {
    HttpLimits limits{};
    int32_t num_threads = 1;
    std::optional<HttpServer::Tls> tls{};
    Route route;
  };

  explicit TestServer(Args args);
  explicit TestServer(Route route) : TestServer(Args{.route = std::move(route)}) {}

  [[nodiscard]] uint16_t port() const { return server_->port(); }
  HttpServer& server() { return *server_; }

  /// Ends the server.
  void Destroy() { server_.reset(); }

  /// Waits until the observer has counted `count` or more of "gone", "stalled", "opened", "closed",
  /// "busy", or "refused 400".
  void Await(const std::string& name, int64_t count);
  int64_t CountOf(const std::string& name);

 private:
  void Count(const std::string& name);

  absl::Mutex mutex_;
  std::map<std::string, int64_t> counts_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<HttpServer> server_;
};

/// "GET /path HTTP/1.1" with a Host.
std::string Get(std::string_view path);

/// A POST with Content-Length.
std::string Post(std::string_view path, std::string_view body);

/// "4\r\nWiki\r\n".
std::string Chunk(std::string_view data);

/// Reads the body and answers with it; with the status that fits when it cannot be read.
void Echo(Exchange& exchange);

/// 413 for OutOfRange, 408 for DeadlineExceeded, 400 for InvalidArgument, 429 for
/// ResourceExhausted, 499 for all others.
HttpResponse ErrorResponse(const absl::Status& status);

/// What the server asks for before it lets a body grow; never refuses.
absl::Status ReserveAnything(int64_t num_bytes);

}  // namespace hadal
