#include "server/routes/router.h"

#include <algorithm>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "server/openai/api_error.h"
#include "server/operations/request_log.h"

namespace hadal {
namespace {

constexpr std::string_view kStar = "*";

// The rest of `path` behind `pattern`; nothing when they do not match.
std::optional<std::string> Match(std::string_view pattern, std::string_view path) {
  if (!pattern.ends_with(kStar)) {
    return path == pattern ? std::optional<std::string>("") : std::nullopt;
  }
  pattern.remove_suffix(kStar.size());
  if (!path.starts_with(pattern) || path.size() == pattern.size()) {
    return std::nullopt;
  }
  return std::string(path.substr(pattern.size()));
}

// A host without its port: "[::1]:80" is "[::1]".
std::string_view WithoutPort(std::string_view host) {
  if (host.starts_with('[')) {
    return host.substr(0, host.find(']') + 1);
  }
  return host.substr(0, host.find(':'));
}

// No name can be made to point here that is none: these can't be borrowed by another page.
bool IsAddress(std::string_view host) {
  return host.starts_with('[') ||
         (!host.empty() && host.find_first_not_of("0123456789.") == std::string_view::npos);
}

bool IsLocalName(std::string_view host) {
  return host == "localhost" || IsAddress(host);
}

// The host of an origin, "https://host:port"; with its port.
std::string_view HostOfOrigin(std::string_view origin) {
  const size_t scheme = origin.find("://");
  return scheme == std::string_view::npos ? std::string_view() : origin.substr(scheme + 3);
}

bool MethodMatches(std::string_view offered, std::string_view asked) {
  return offered == asked || (offered == "GET" && asked == "HEAD");
}

}  // namespace

void Router::Serve(Exchange& exchange) const {
  Call call(exchange, args_.clock.Now());
  Dispatch(call);
  args_.metrics.CountRequest(call.route, call.status(), call.finish_reason);
  if (call.status() == 400) {
    args_.metrics.CountRejection(RejectReason::kInvalid);
  }
  if (!args_.logs_requests) {
    return;
  }
  const bool has_times = call.times.total > Duration::zero();
  LogRequest({.request_id = exchange.request().request_id,
              .tenant = call.tenant.has_value() ? args_.keys.NameOf(*call.tenant) : "",
              .client_address = exchange.request().client_address,
              .route = NameOf(call.route),
              .status = call.status(),
              .finish_reason = call.finish_reason,
              .prompt_tokens = call.usage.prompt_tokens,
              .completion_tokens = call.usage.completion_tokens,
              .queue = has_times ? std::optional(call.times.queue) : std::nullopt,
              .first_token = call.times.first_token,
              .total = args_.clock.Now() - call.arrival()});
}

HttpResponse Router::MakeError(int32_t status, std::string_view message) const {
  return ErrorResponse(ApiErrorOf(status, message));
}

void Router::Dispatch(Call& call) const {
  const HttpRequest& request = call.request();
  const auto refuse = [this, &call](const absl::Status& status) {
    call.RespondError(status, args_.retry_after_seconds());
  };
  // 1. The route, if there is one.
  const Entry* entry = nullptr;
  std::vector<std::string> methods;
  for (const Entry& candidate : entries_) {
    if (std::optional<std::string> rest = Match(candidate.path, request.path)) {
      methods.push_back(candidate.method);
      if (MethodMatches(candidate.method, request.method)) {
        entry = &candidate;
        call.path_rest = *std::move(rest);
      }
    }
  }
  if (entry != nullptr) {
    call.route = entry->name;
  }
  // 2. Who asks.
  if (const absl::Status status = CheckBrowser(request); !status.ok()) {
    return refuse(status);
  }
  if (const auto origin = request.Find("origin")) {
    call.headers.push_back({"Access-Control-Allow-Origin", std::string(*origin)});
    call.headers.push_back({"Vary", "Origin"});
    if (request.method == "OPTIONS") {
      return AnswerPreflight(call);
    }
  }
  if (entry == nullptr || entry->access == Access::kWithKey) {
    const auto tenant = args_.keys.Authenticate(request.Find("authorization").value_or(""));
    if (!tenant.ok()) {
      call.headers.push_back({"WWW-Authenticate", "Bearer"});
      return refuse(tenant.status());
    }
    call.tenant = *tenant;
  }
  // 3. What for.
  if (methods.empty()) {
    return call.Respond(MakeError(404, "there is no such path"));
  }
  if (entry == nullptr) {
    call.headers.push_back({"Allow", absl::StrJoin(methods, ", ")});
    return call.Respond(MakeError(405, "the path has no such method"));
  }
  if (const absl::Status status = entry->route(call); !status.ok()) {
    refuse(status);
  }
}

absl::Status Router::CheckBrowser(const HttpRequest& request) const {
  std::string host(request.Find("host").value_or(""));
  absl::AsciiStrToLower(&host);
  if (args_.browsers.checks_host && !IsLocalName(WithoutPort(host)) &&
      std::ranges::find(args_.browsers.allowed_hosts, WithoutPort(host)) ==
          args_.browsers.allowed_hosts.end()) {
    return PermissionDenied("the Host header names a host that is not allowed");
  }
  const auto origin = request.Find("origin");
  if (!origin.has_value()) {
    return absl::OkStatus();
  }
  // A page of this very server, by a name that nobody else can have.
  if (HostOfOrigin(*origin) == host && IsLocalName(WithoutPort(host))) {
    return absl::OkStatus();
  }
  for (const std::string& allowed : args_.browsers.allowed_origins) {
    if (allowed == "*" || allowed == *origin) {
      return absl::OkStatus();
    }
  }
  return PermissionDenied("the page's origin is not allowed");
}

// What a browser asks before it sends a request of another page.
void Router::AnswerPreflight(Call& call) const {
  call.headers.push_back({"Access-Control-Allow-Methods", "GET, POST"});
  call.headers.push_back({"Access-Control-Allow-Headers",
                          "authorization, content-type, x-request-id, x-request-timeout, "
                          "x-request-priority"});
  call.headers.push_back({"Access-Control-Max-Age", "600"});
  call.RespondText(204, "", "");
}

}  // namespace hadal
