#pragma once

#include <cstdint>
#include <memory>

#include "base/clock.h"
#include "base/status.h"
#include "server/config/server_config.h"
#include "server/http/http_server.h"
#include "server/operations/auth.h"
#include "server/operations/health.h"
#include "server/operations/server_metrics.h"
#include "server/routes/router.h"

namespace hadal {

/// The listener for those who operate the server: probes and metrics, without keys. Lives longer
/// than Server, so that its answers tell of start and end.
class OperationsServer {
 public:
  struct Args {
    const ServerConfig& config;
    const Clock& clock;
    const Health& health;
    ServerMetrics& metrics;
  };

  /// Borrows all of `args`. The errors of HttpServer::Start.
  static absl::StatusOr<std::unique_ptr<OperationsServer>> Start(const Args& args);

  OperationsServer(const OperationsServer&) = delete;
  OperationsServer& operator=(const OperationsServer&) = delete;

  [[nodiscard]] uint16_t port() const { return http_->port(); }

 private:
  explicit OperationsServer(const Args& args);

  const ApiKeys no_keys_;
  Router router_;
  std::unique_ptr<HttpServer> http_;
};

}  // namespace hadal
