#include "server/routes/probe_routes.h"

#include <utility>

namespace hadal {
namespace {

constexpr const char* kText = "text/plain; charset=utf-8";

absl::Status Say(const Health::Answer& answer, Call& call) {
  call.headers.push_back({"Cache-Control", "no-store"});
  call.RespondText(answer.ok ? 200 : 503, kText, answer.body);
  return absl::OkStatus();
}

Router::Entry Public(std::string path, RouteName name, Router::Route route) {
  return {.method = "GET",
          .path = std::move(path),
          .name = name,
          .access = Router::Access::kPublic,
          .route = std::move(route)};
}

}  // namespace

void AddProbeRoutes(const Health& health, Router& router) {
  router.Add(Public(
      "/livez", RouteName::kProbe, [&health](Call& call) { return Say(health.Live(), call); }));
  router.Add(Public("/readyz", RouteName::kProbe, [&health](Call& call) {
    const std::string& query = call.request().query;
    const bool verbose = query == "verbose" || query.starts_with("verbose=");
    return Say(health.Ready(verbose), call);
  }));
  router.Add(Public("/startupz", RouteName::kProbe, [&health](Call& call) {
    return Say(health.Started(), call);
  }));
}

void AddMetricsRoute(std::function<std::string()> serialize, Router& router) {
  router.Add(
      Public("/metrics", RouteName::kMetrics, [serialize = std::move(serialize)](Call& call) {
        std::string text;
        call.exchange().RunElsewhere([&] { text = serialize(); });
        call.RespondText(200, "text/plain; version=0.0.4; charset=utf-8", std::move(text));
        return absl::OkStatus();
      }));
}

}  // namespace hadal
