#pragma once

#include <functional>
#include <string>

#include "server/operations/health.h"
#include "server/routes/router.h"

namespace hadal {

/// Adds /livez, /readyz and /startupz to `router`: public, 200 or 503, text. With the query
/// "verbose", /readyz says each check.
void AddProbeRoutes(const Health& health, Router& router);

/// Adds /metrics, public: for the operations listener.
void AddMetricsRoute(std::function<std::string()> serialize, Router& router);

}  // namespace hadal
