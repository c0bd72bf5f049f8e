#include "server/config/server_config.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <netinet/in.h>
#include <string_view>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "server/config/config_value.h"

namespace hadal {
namespace {

struct Listener {
  std::string_view section;
  std::string host;
  int32_t port;  // 0: none, or one that is free
};

bool IsWildcard(const std::string& host) {
  return host == "0.0.0.0" || host == "::";
}

absl::Status CheckPorts(const ServerConfig& config) {
  const std::array<Listener, 3> listeners = {
      Listener{"http", config.http.host, config.http.port},
      Listener{"grpc", config.grpc.host, config.grpc.port},
      Listener{"operations", config.operations.host, config.operations.port}};
  for (size_t i = 0; i < listeners.size(); ++i) {
    for (size_t k = 0; k < i; ++k) {
      const Listener& a = listeners[k];
      const Listener& b = listeners[i];
      if (a.port != 0 && a.port == b.port &&
          (a.host == b.host || IsWildcard(a.host) || IsWildcard(b.host))) {
        return InvalidArgument(
            "%s.port: %d is the port of %s.port already", b.section, b.port, a.section);
      }
    }
  }
  return absl::OkStatus();
}

// Scheme, name and perhaps a port, as browsers send it, or "*".
bool IsOrigin(const std::string& text) {
  if (text == "*") {
    return true;
  }
  const size_t scheme_end = text.find("://");
  if (scheme_end == std::string::npos || scheme_end == 0) {
    return false;
  }
  const std::string_view rest = std::string_view(text).substr(scheme_end + 3);
  return !rest.empty() && rest.find_first_of("/?#@ ") == std::string_view::npos;
}

absl::Status CheckHttp(const ServerConfig::Http& http) {
  if (http.tls_certificate.empty() != http.tls_key.empty()) {
    return InvalidArgument("%s",
                           http.tls_key.empty()
                               ? "http.tls_key: a certificate needs its key"
                               : "http.tls_certificate: a key needs its certificate");
  }
  for (const std::string& origin : http.allowed_origins) {
    if (!IsOrigin(origin)) {
      return InvalidArgument(
          "http.allowed_origins: expected \"*\" or one such as https://example.org, found %s",
          Quoted(origin));
    }
  }
  for (const std::string& host : http.allowed_hosts) {
    if (host.find_first_of("/?#@ *") != std::string::npos) {
      return InvalidArgument("http.allowed_hosts: expected a name such as example.org, found %s",
                             Quoted(host));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckScheduling(const ServerConfig& config) {
  const ServerConfig::Scheduling& scheduling = config.scheduling;
  if (scheduling.max_running_sequences > scheduling.max_requests) {
    return InvalidArgument("scheduling.max_running_sequences: %d exceeds max_requests, %d",
                           scheduling.max_running_sequences,
                           scheduling.max_requests);
  }
  if (scheduling.max_running_sequences > scheduling.max_step_tokens) {
    return InvalidArgument(
        "scheduling.max_running_sequences: %d exceeds max_step_tokens, %d, and each needs one",
        scheduling.max_running_sequences,
        scheduling.max_step_tokens);
  }
  if (config.http.max_body_bytes > scheduling.max_in_flight_bytes) {
    return InvalidArgument(
        "http.max_body_bytes: %d exceeds scheduling.max_in_flight_bytes, %d, so no such body could "
        "be taken",
        config.http.max_body_bytes,
        scheduling.max_in_flight_bytes);
  }
  return absl::OkStatus();
}

}  // namespace

bool IsLoopback(const std::string& host) {
  in_addr v4 = {};
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) {
    return (ntohl(v4.s_addr) >> 24U) == 127;
  }
  in6_addr v6 = {};
  if (inet_pton(AF_INET6, host.c_str(), &v6) == 1) {
    return IN6_IS_ADDR_LOOPBACK(&v6) != 0;
  }
  return absl::EqualsIgnoreCase(host, "localhost");
}

absl::Status ValidateServerConfig(const ServerConfig& config) {
  for (const ConfigKey& key : ConfigKeys()) {
    RETURN_IF_ERROR(CheckValue(key, config));
  }
  RETURN_IF_ERROR(CheckHttp(config.http));
  RETURN_IF_ERROR(CheckPorts(config));
  RETURN_IF_ERROR(CheckScheduling(config));
  if (!config.security.api_keys_file.empty() && !config.security.api_keys_variable.empty()) {
    return InvalidArgument(
        "security.api_keys_variable: keys come from a file or from a variable, not from both");
  }
  return absl::OkStatus();
}

std::vector<std::string> ConfigWarnings(const ServerConfig& config) {
  const bool has_keys =
      !config.security.api_keys_file.empty() || !config.security.api_keys_variable.empty();
  const bool has_tls = !config.http.tls_certificate.empty();
  const bool is_public = !IsLoopback(config.http.host);
  const bool has_public_grpc = config.grpc.port != 0 && !IsLoopback(config.grpc.host);
  std::vector<std::string> warnings;
  if (is_public && !has_keys) {
    warnings.push_back(absl::StrCat("http.host ",
                                    config.http.host,
                                    " is open to other machines and there are no API keys: whoever "
                                    "reaches it may use the model"));
  }
  if (is_public && has_keys && !has_tls) {
    warnings.push_back(absl::StrCat("http.host ",
                                    config.http.host,
                                    " is open to other machines without TLS: API keys and texts "
                                    "can be read on the way, unless a proxy encrypts them"));
  }
  if (has_public_grpc) {
    warnings.push_back(absl::StrCat("grpc.host ",
                                    config.grpc.host,
                                    " is open to other machines",
                                    has_keys ? "" : " without API keys",
                                    ": gRPC is not encrypted here and should have a proxy in "
                                    "front of it"));
  }
  if (!IsLoopback(config.operations.host)) {
    warnings.push_back(absl::StrCat("operations.host ",
                                    config.operations.host,
                                    " is open to other machines: whoever reaches it may read the "
                                    "metrics"));
  }
  const std::vector<std::string>& origins = config.http.allowed_origins;
  if (!has_keys && std::find(origins.begin(), origins.end(), "*") != origins.end()) {
    warnings.emplace_back(
        "http.allowed_origins is \"*\" and there are no API keys: any web page may use the model "
        "through the browser of someone who can reach it");
  }
  if (has_keys && config.security.cache_sharing == "all") {
    warnings.emplace_back(
        "security.cache_sharing is all: tenants can tell from response times what others asked");
  }
  return warnings;
}

}  // namespace hadal
