#include "server/serving/configuration.h"

#include <cstdlib>
#include <string>

#include "base/mapped_file.h"

namespace hadal {
namespace {

constexpr size_t kMaxKeysFileBytes = 1 << 20;

}  // namespace

Duration SecondsToDuration(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

absl::StatusOr<ApiKeys> ReadApiKeys(const ServerConfig::Security& security) {
  if (!security.api_keys_file.empty()) {
    ASSIGN_OR_RETURN(const std::string text,
                     ReadTextFile(security.api_keys_file, kMaxKeysFileBytes));
    absl::StatusOr<ApiKeys> keys = ApiKeys::Parse(text);
    RETURN_IF_ERROR(Annotate(keys.status(), security.api_keys_file));
    return keys;
  }
  if (!security.api_keys_variable.empty()) {
    const char* text = std::getenv(security.api_keys_variable.c_str());
    if (text == nullptr) {
      return NotFound("security.api_keys_variable: the environment has no variable %s",
                      security.api_keys_variable);
    }
    absl::StatusOr<ApiKeys> keys = ApiKeys::Parse(text);
    RETURN_IF_ERROR(Annotate(keys.status(), security.api_keys_variable));
    return keys;
  }
  return ApiKeys();
}

Limits SchedulerLimits(const ServerConfig& config, const Limits& model) {
  Limits limits = model;
  const ServerConfig::Scheduling& scheduling = config.scheduling;
  limits.max_running_sequences = scheduling.max_running_sequences;
  limits.max_step_tokens = scheduling.max_step_tokens;
  // Admission counts a request until its last token is read; the scheduler may need a step more.
  limits.max_requests = scheduling.max_requests + scheduling.max_running_sequences;
  limits.max_waiting_tokens = scheduling.max_waiting_tokens;
  limits.max_sequences_per_request = scheduling.max_n;
  limits.max_logprobs = scheduling.max_logprobs;
  limits.target_step_time = SecondsToDuration(scheduling.target_step_ms / 1000);
  limits.default_patience = SecondsToDuration(scheduling.request_timeout);
  return limits;
}

Load AdmissionLimits(const ServerConfig& config) {
  return {.requests = config.scheduling.max_requests,
          .prompt_tokens = config.scheduling.max_waiting_tokens,
          .body_bytes = config.scheduling.max_in_flight_bytes};
}

GenerationLimits RequestLimits(const ServerConfig& config) {
  GenerationLimits limits;
  limits.max_n = config.scheduling.max_n;
  limits.max_logprobs = config.scheduling.max_logprobs;
  limits.min_priority = config.scheduling.min_priority;
  limits.max_timeout = SecondsToDuration(config.scheduling.request_timeout);
  return limits;
}

CacheSharing SharingOf(const ServerConfig::Security& security) {
  return security.cache_sharing == "all" ? CacheSharing::kAmongAll : CacheSharing::kWithinTenant;
}

HttpLimits HttpLimitsOf(const ServerConfig::Http& http) {
  return {.max_connections = http.max_connections,
          .max_connections_per_address = http.max_connections_per_address,
          .max_body_bytes = http.max_body_bytes,
          .header_timeout = SecondsToDuration(http.header_timeout),
          .body_timeout = SecondsToDuration(http.body_timeout),
          .idle_timeout = SecondsToDuration(http.idle_timeout),
          .stall_timeout = SecondsToDuration(http.stall_timeout)};
}

std::optional<HttpServer::Tls> TlsOf(const ServerConfig::Http& http) {
  if (http.tls_certificate.empty()) {
    return std::nullopt;
  }
  return HttpServer::Tls{.certificate_file = http.tls_certificate, .key_file = http.tls_key};
}

// Only who listens for this machine alone can be mistaken for another server by a browser on it.
BrowserRules BrowserRulesOf(const ServerConfig::Http& http, std::string_view host) {
  return {.allowed_origins = http.allowed_origins,
          .checks_host = IsLoopback(std::string(host)),
          .allowed_hosts = http.allowed_hosts};
}

HttpServer::Args MakeHttpArgs(const Router& router) {
  HttpServer::Args args;
  args.route = [&router](Exchange& exchange) { router.Serve(exchange); };
  args.make_error = [&router](int32_t status, std::string_view message) {
    return router.MakeError(status, message);
  };
  return args;
}

}  // namespace hadal
