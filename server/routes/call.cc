#include "server/routes/call.h"

#include <utility>

#include <absl/strings/cord.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include "server/openai/api_error.h"

namespace hadal {
namespace {

constexpr const char* kHttpStatus = "hadal.http_status";

}  // namespace

void Call::RespondJson(std::string body) {
  Respond({.status = 200, .body = std::move(body)});
}

void Call::RespondText(int32_t status, std::string content_type, std::string body) {
  Respond({.status = status, .content_type = std::move(content_type), .body = std::move(body)});
}

void Call::RespondError(const absl::Status& status, std::optional<int64_t> retry_after_s) {
  Respond(ErrorResponse(status, retry_after_s));
}

void Call::Respond(HttpResponse response) {
  status_ = response.status;
  AddHeaders(response);
  exchange_.Respond(response);
}

void Call::BeginEvents() {
  HttpResponse head = {.status = 200,
                       .headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}},
                       .content_type = "text/event-stream; charset=utf-8"};
  status_ = head.status;
  is_streaming_ = true;
  AddHeaders(head);
  exchange_.BeginStream(head);
}

void Call::AddHeaders(HttpResponse& response) const {
  for (const HttpHeader& header : headers) {
    response.headers.push_back(header);
  }
}

HttpResponse ErrorResponse(const ApiError& error) {
  HttpResponse response = {.status = error.http_status, .body = ToJson(error)};
  if (error.retry_after_s.has_value()) {
    const std::string seconds = absl::StrCat(*error.retry_after_s);
    response.headers.push_back({"Retry-After", seconds});
    response.headers.push_back({"retry-after-ms", seconds + "000"});
  }
  if (!error.may_retry) {
    response.headers.push_back({"x-should-retry", "false"});
  }
  return response;
}

absl::Status WithHttpStatus(int32_t http_status, absl::Status status) {
  status.SetPayload(kHttpStatus, absl::Cord(absl::StrCat(http_status)));  // OK has no payloads
  return status;
}

HttpResponse ErrorResponse(const absl::Status& status, std::optional<int64_t> retry_after_s) {
  ApiError error = ApiErrorOf(status);
  int32_t http_status = 0;
  if (const auto payload = status.GetPayload(kHttpStatus);
      payload.has_value() && absl::SimpleAtoi(std::string(*payload), &http_status)) {
    error = ApiErrorOf(http_status, MessageOf(status));
  }
  if (error.may_retry) {
    error.retry_after_s = retry_after_s;
  }
  return ErrorResponse(error);
}

}  // namespace hadal
