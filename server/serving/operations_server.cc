#include "server/serving/operations_server.h"

#include <utility>

#include "base/checked_cast.h"
#include "server/routes/probe_routes.h"
#include "server/serving/configuration.h"

namespace hadal {

OperationsServer::OperationsServer(const Args& args)
    : router_({.keys = no_keys_,
               .metrics = args.metrics,
               .clock = args.clock,
               .retry_after_seconds = [] { return 1; },
               .browsers = BrowserRulesOf(args.config.http, args.config.operations.host),
               .logs_requests = false}) {
  AddProbeRoutes(args.health, router_);
  AddMetricsRoute([&metrics = args.metrics] { return metrics.Serialize(); }, router_);
}

absl::StatusOr<std::unique_ptr<OperationsServer>> OperationsServer::Start(const Args& args) {
  std::unique_ptr<OperationsServer> server(new OperationsServer(args));
  HttpServer::Args http = MakeHttpArgs(server->router_);
  http.name = "ops";
  http.address = args.config.operations.host;
  http.port = CheckedCast<uint16_t>(args.config.operations.port);
  ASSIGN_OR_RETURN(server->http_, HttpServer::Start(std::move(http)));
  return server;
}

}  // namespace hadal
