#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "server/generation/generation_params.h"
#include "server/http/exchange.h"
#include "server/operations/auth.h"
#include "server/operations/health.h"
#include "server/operations/server_metrics.h"
#include "server/routes/call.h"

namespace hadal {

/// What browsers may do. A browser names the page that a request comes from in Origin, and the
/// server it believes to talk to in Host: a page that has its own name point here is told apart by
/// both.
struct BrowserRules {
  std::vector<std::string> allowed_origins;  // "https://chat.example.org"; "*": all
  bool checks_host = false;                  // Host must be localhost, an IP literal, or one of
  std::vector<std::string> allowed_hosts;    // these; without ports
};

/// From a request to its route, for one listener. Before a route is called: its Origin and Host are
/// allowed (403), its key is known (401), path and method exist (404, 405). Without a key nothing
/// can be learnt, not even which paths exist; public routes alone need none. Paths are compared
/// byte for byte: no variant of a path is another way in.
///
/// Counts and logs every request. Immutable after Add; any thread.
class Router {
 public:
  struct Args {
    const ApiKeys& keys;
    ServerMetrics& metrics;
    const Clock& clock;
    std::function<int64_t()> retry_after_seconds;  // for requests that may be tried again
    BrowserRules browsers;
    bool logs_requests = true;
  };

  /// Answers through `call`, or returns what is to be answered as an error. After the route began a
  /// stream, it must return OK.
  using Route = std::function<absl::Status(Call& call)>;

  enum class Access : int8_t { kPublic, kWithKey };

  struct Entry {
    std::string method;  // "GET" answers HEAD, too
    std::string path;    // "/v1/models/*": anything but nothing in place of the star
    RouteName name;
    Access access;
    Route route;
  };

  /// Borrows all of `args`.
  explicit Router(Args args) : args_(std::move(args)) {}

  void Add(Entry entry) { entries_.push_back(std::move(entry)); }

  /// Serves one request. For HttpServer::Args::route.
  void Serve(Exchange& exchange) const;

  /// For HttpServer::Args::make_error.
  [[nodiscard]] HttpResponse MakeError(int32_t status, std::string_view message) const;

  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }

 private:
  [[nodiscard]] absl::Status CheckBrowser(const HttpRequest& request) const;
  void Dispatch(Call& call) const;
  void AnswerPreflight(Call& call) const;

  Args args_;
  std::vector<Entry> entries_;
};

}  // namespace hadal
