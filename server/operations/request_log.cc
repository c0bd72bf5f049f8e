#include "server/operations/request_log.h"

#include <limits>

#include "base/log.h"

namespace hadal {
namespace {

constexpr size_t kMaxStringBytes = 256;

std::string_view Cut(std::string_view text) {
  return text.substr(0, kMaxStringBytes);
}

// What is not known is null in the log, as every number that is not finite.
double Milliseconds(const std::optional<Duration>& duration) {
  return duration.has_value() ? std::chrono::duration<double, std::milli>(*duration).count()
                              : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

void LogRequest(const RequestLine& line) {
  Log(LogLevel::kInfo,
      "request",
      {{"request_id", Cut(line.request_id)},
       {"tenant", Cut(line.tenant)},
       {"client", Cut(line.client_address)},
       {"route", Cut(line.route)},
       {"status", line.status},
       {"finish_reason", Cut(line.finish_reason)},
       {"prompt_tokens", line.prompt_tokens},
       {"completion_tokens", line.completion_tokens},
       {"queue_ms", Milliseconds(line.queue)},
       {"first_token_ms", Milliseconds(line.first_token)},
       {"total_ms", Milliseconds(line.total)}});
}

}  // namespace hadal
