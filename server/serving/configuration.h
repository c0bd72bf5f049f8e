#pragma once

// From the configuration, which a user writes, to what each part of the server takes.

#include <optional>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"
#include "scheduler/limits.h"
#include "scheduler/request.h"
#include "server/config/server_config.h"
#include "server/generation/admission.h"
#include "server/generation/generation_params.h"
#include "server/http/http_server.h"
#include "server/operations/auth.h"
#include "server/routes/router.h"

namespace hadal {

Duration SecondsToDuration(double seconds);

/// The keys of the file or the environment variable that the configuration names; none when it
/// names neither. The errors of ReadTextFile and ApiKeys::Parse; NotFound for a variable that is
/// not set.
absl::StatusOr<ApiKeys> ReadApiKeys(const ServerConfig::Security& security);

/// `model` with the configuration's bounds.
Limits SchedulerLimits(const ServerConfig& config, const Limits& model);

Load AdmissionLimits(const ServerConfig& config);
GenerationLimits RequestLimits(const ServerConfig& config);
CacheSharing SharingOf(const ServerConfig::Security& security);
HttpLimits HttpLimitsOf(const ServerConfig::Http& http);
std::optional<HttpServer::Tls> TlsOf(const ServerConfig::Http& http);

/// Of a listener on `host`, as the configuration of HTTP has them.
BrowserRules BrowserRulesOf(const ServerConfig::Http& http, std::string_view host);

/// What is the same for all listeners: `router`, which is borrowed, and its errors.
HttpServer::Args MakeHttpArgs(const Router& router);

}  // namespace hadal
