#include "server/routes/request_body.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>

namespace hadal {
namespace {

constexpr int64_t kBytesPerToken = 3;         // of text, few have less
constexpr int64_t kLongTextBytes = 32 << 10;  // takes about a millisecond

absl::Status CheckContentType(const HttpRequest& request) {
  std::string_view type = request.Find("content-type").value_or("");
  type = type.substr(0, type.find(';'));
  while (type.ends_with(' ') || type.ends_with('\t')) {
    type.remove_suffix(1);
  }
  constexpr std::string_view kJson = "application/json";
  if (std::ranges::equal(type, kJson, {}, absl::ascii_tolower)) {
    return absl::OkStatus();
  }
  return WithHttpStatus(415, InvalidArgument("the Content-Type must be application/json"));
}

}  // namespace

absl::StatusOr<AdmittedBody> AdmitBody(Call& call,
                                       Admission& admission,
                                       int64_t num_requests,
                                       int64_t max_prompt_tokens) {
  RETURN_IF_ERROR(CheckContentType(call.request()));
  const auto load_of = [&](int64_t num_bytes) {
    const bool has_prompt = max_prompt_tokens > 0;
    return Load{
        .requests = num_requests,
        .prompt_tokens =
            has_prompt ? std::clamp(num_bytes / kBytesPerToken, int64_t{1}, max_prompt_tokens) : 0,
        .body_bytes = num_bytes};
  };
  AdmittedBody admitted;
  // What the body may take is asked for when its size is known to be allowed.
  ASSIGN_OR_RETURN(admitted.reservation, admission.Reserve(load_of(0)));
  absl::StatusOr<std::string> text = call.exchange().ReadBody([&](int64_t num_bytes) {
    return num_bytes <= admitted.reservation.load().body_bytes
               ? absl::OkStatus()
               : admitted.reservation.Change(load_of(num_bytes));
  });
  if (absl::IsOutOfRange(text.status())) {
    return WithHttpStatus(413, text.status());
  }
  if (absl::IsDeadlineExceeded(text.status())) {
    return WithHttpStatus(408, text.status());
  }
  if (absl::IsCancelled(text.status())) {
    return WithHttpStatus(499, text.status());
  }
  RETURN_IF_ERROR(text.status());
  admitted.text = *std::move(text);
  return admitted;
}

void RunWithText(Call& call, int64_t num_bytes, const std::function<void()>& work) {
  if (num_bytes > kLongTextBytes) {
    call.exchange().RunElsewhere(work);
  } else {
    work();
  }
}

absl::Status ReadRequestHeaders(const HttpRequest& request,
                                const GenerationLimits& limits,
                                GenerationParams& params) {
  if (const auto text = request.Find("x-request-timeout")) {
    const double max_seconds = std::chrono::duration<double>(limits.max_timeout).count();
    double seconds = 0;
    if (!absl::SimpleAtod({text->data(), text->size()}, &seconds) ||
        !(seconds > 0 && seconds <= max_seconds)) {
      return InvalidArgument("x-request-timeout: expected seconds above 0 and up to %g",
                             max_seconds);
    }
    params.timeout = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
  }
  if (const auto text = request.Find("x-request-priority")) {
    int32_t priority = 0;
    if (!absl::SimpleAtoi({text->data(), text->size()}, &priority) ||
        priority < limits.min_priority || priority > limits.max_priority) {
      return InvalidArgument("x-request-priority: expected an integer from %d to %d",
                             limits.min_priority,
                             limits.max_priority);
    }
    params.priority = priority;
  }
  return absl::OkStatus();
}

}  // namespace hadal
