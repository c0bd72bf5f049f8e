#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "scheduler/request.h"
#include "server/generation/generation_event.h"
#include "server/http/exchange.h"
#include "server/openai/api_error.h"
#include "server/operations/server_metrics.h"

namespace hadal {

/// A request on its way through a route: what it answers, and what is to be counted and logged of
/// it. One coroutine.
class Call {
 public:
  /// Borrows the exchange.
  Call(Exchange& exchange, TimePoint arrival) : exchange_(exchange), arrival_(arrival) {}
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  [[nodiscard]] Exchange& exchange() { return exchange_; }
  [[nodiscard]] const HttpRequest& request() const { return exchange_.request(); }
  [[nodiscard]] TimePoint arrival() const { return arrival_; }

  // Filled in by the router.
  RouteName route = RouteName::kOther;
  std::optional<TenantId> tenant;   // nothing: refused, or a public route
  std::string path_rest;            // what stood in place of the star of the route's path
  std::vector<HttpHeader> headers;  // of the response, besides the answer's own

  // Filled in by the route, for counts and the log.
  std::string finish_reason;  // of the first choice; empty: no generation
  Usage usage;
  GenerationTimes times;

  /// Answers with a whole body.
  void Respond(HttpResponse response);
  void RespondJson(std::string body);
  void RespondText(int32_t status, std::string content_type, std::string body);

  /// Answers with `status` as an API error. `retry_after_s` is sent where trying again may help.
  void RespondError(const absl::Status& status, std::optional<int64_t> retry_after_s);

  /// Begins a stream of server-sent events.
  void BeginEvents();

  /// The status that was sent; 0 before.
  [[nodiscard]] int32_t status() const { return status_; }
  [[nodiscard]] bool is_streaming() const { return is_streaming_; }

 private:
  void AddHeaders(HttpResponse& response) const;

  Exchange& exchange_;
  const TimePoint arrival_;
  int32_t status_ = 0;
  bool is_streaming_ = false;
};

/// `status` with the HTTP status that it is answered with, where api_error.h has another; OK stays
/// OK.
absl::Status WithHttpStatus(int32_t http_status, absl::Status status);

/// An error as a response. `retry_after_s` is sent where trying again may help.
HttpResponse ErrorResponse(const absl::Status& status, std::optional<int64_t> retry_after_s);
HttpResponse ErrorResponse(const ApiError& error);

}  // namespace hadal
