#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/synchronization/mutex.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl/context.hpp>

#include "base/clock.h"
#include "base/status.h"
#include "server/http/http_server.h"

namespace hadal {

/// Connections that are open, all together and of each client. Clients with an IPv6 address are
/// told apart by its first 64 bits, which is what one of them has. Any thread.
class ConnectionCount {
 public:
  using Client = std::string;
  enum class Admission {
    kAdmitted,
    kTooMany,          // to be told so; counted until Remove, apart from the admitted
    kTooManyRefusals,  // to be dropped
    kClosed,           // to be dropped
  };

  explicit ConnectionCount(const HttpLimits& limits);

  static Client ClientOf(const boost::asio::ip::address& address);

  Admission Add(const Client& client);
  void Remove(const Client& client, Admission admission);

  /// Admits no more.
  void Close();

  /// Waits until none is admitted; false at `deadline`.
  bool WaitUntilNone(TimePoint deadline);

 private:
  const int64_t max_connections_;
  const int64_t max_connections_per_address_;
  absl::Mutex mutex_;
  int64_t num_admitted_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t num_refused_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_map<Client, int64_t> num_by_client_ ABSL_GUARDED_BY(mutex_);
};

/// What all connections of a server share.
struct ServerState {
  explicit ServerState(HttpServer::Args server_args);

  const HttpServer::Args args;
  std::optional<boost::asio::ssl::context> tls;
  ConnectionCount connections;
  boost::asio::io_context work;  // of Exchange::RunElsewhere
  std::atomic<bool> draining = false;
  std::atomic<bool> accepting = true;
  std::atomic<bool> cut_off = false;  // the server goes away: every connection ends
};

/// A context for a server: TLS 1.2 or newer, the certificate and key of these PEM files.
/// InvalidArgument, naming the file, when they cannot be read or do not fit together.
absl::StatusOr<boost::asio::ssl::context> MakeTlsContext(const HttpServer::Tls& tls);

}  // namespace hadal
