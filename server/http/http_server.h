#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "server/http/exchange.h"

namespace hadal {

/// Bounds of what a client may send and how slowly, all checked before memory is spent. Those of
/// size are inclusive.
struct HttpLimits {
  int64_t max_connections = 4096;             // at most 30,000; those above get a 503
  int64_t max_connections_per_address = 256;  // 0: no limit; of IPv6 its first 64 bits count
  int64_t max_request_line_bytes = 8 << 10;
  int64_t max_header_bytes = 16 << 10;  // of all header lines together
  int64_t max_headers = 64;
  int64_t max_body_bytes = 8 << 20;
  Duration header_timeout = std::chrono::seconds(10);  // from the first byte to the end of headers;
                                                       // of a new connection, to the first byte
  Duration body_timeout = std::chrono::seconds(30);    // from ReadBody to the end of the body
  Duration idle_timeout = std::chrono::seconds(75);    // between requests of a connection
  Duration stall_timeout = std::chrono::seconds(30);   // a client that takes nothing
};

/// What the server counts. Called on its threads; must not wait. Any may be null.
struct HttpObserver {
  std::function<void(int64_t change)> connections{};  // +1, -1
  std::function<void()> client_gone{};                // before its response was complete
  std::function<void()> client_stalled{};             // and was cut off
  std::function<void(int32_t status)> refused{};  // by the server itself: 400, 408, 431, 503, …
  std::function<void(Duration delay)> thread_was_busy{};  // how late a periodic timer came
};

/// HTTP/1.1 with keep-alive and pipelining, plain or TLS. A connection stays on one of the I/O
/// threads, on a coroutine of its own.
///
///   ASSIGN_OR_RETURN(auto server, HttpServer::Start({...}));
///   ...
///   server->BeginDrain();            // idle connections end
///   server->StopAccepting();         // close the listening socket
///   server->WaitUntilIdle(deadline);  // for those that are busy
///
/// A client that closes its sending half is gone, but for a response that is sent at once.
class HttpServer {
 public:
  /// Called on a connection's coroutine for each request whose headers passed the checks.
  using Route = std::function<void(Exchange&)>;

  struct Tls {
    std::string certificate_file;  // PEM, the chain
    std::string key_file;          // PEM
  };

  struct Args {
    std::string name;  // of its threads: "io" gives io-0, io-1, …
    std::string address = "127.0.0.1";
    uint16_t port = 0;             // 0: one that is free
    int32_t num_threads = 1;       // at least 1
    int32_t num_work_threads = 1;  // of Exchange::RunElsewhere: work-0, …; at least 1
    HttpLimits limits{};
    std::optional<Tls> tls{};
    Route route;
    /// The body of a response that the server makes itself, such as a 431.
    std::function<HttpResponse(int32_t status, std::string_view message)> make_error;
    HttpObserver observer{};
  };

  /// Listens and serves. InvalidArgument for a bad address, limit or certificate; Unavailable when
  /// the port is taken.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(Args args);

  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// Cuts off what is left and joins the threads: waits for routes, which learn that their client
  /// is gone. Any thread but the server's own.
  virtual ~HttpServer() = default;

  [[nodiscard]] virtual uint16_t port() const = 0;

  /// Responses from now on say "Connection: close"; idle connections are closed, new ones are still
  /// taken and answered. Any thread.
  virtual void BeginDrain() = 0;

  /// Takes no more connections, and closes those on which no request has begun. Any thread; twice
  /// is as good as once.
  virtual void StopAccepting() = 0;

  /// Notifies the waker of every connection: something that concerns all has changed. Any thread.
  virtual void NotifyAll() = 0;

  /// Waits until no connection is left or until `deadline`; whether none is left. Any thread but
  /// the server's own.
  virtual bool WaitUntilIdle(TimePoint deadline) = 0;

 protected:
  HttpServer() = default;
};

}  // namespace hadal
