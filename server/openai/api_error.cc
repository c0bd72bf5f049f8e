#include "server/openai/api_error.h"

#include <algorithm>

#include "base/utf8.h"
#include "server/openai/json_text.h"

namespace hadal {
namespace {

// What a message may hold of a request is bounded where it is made; this holds for all others.
constexpr size_t kMaxMessageBytes = 1024;
constexpr size_t kMaxParamBytes = 128;

constexpr std::string_view kInvalidRequest = "invalid_request_error";
constexpr std::string_view kServerError = "server_error";

enum class Retry : int8_t { kNever, kMay };

// Whose fault an error is: messages about the request name the field, those about the server may
// say what is nobody's business.
enum class About : int8_t { kRequest, kServer, kInternals };

struct StatusRow {
  absl::StatusCode status;
  int32_t http_status;
  std::string_view type;
  std::string_view code;
  Retry retry;
  About about;
};

constexpr StatusRow kStatusRows[] = {
    {absl::StatusCode::kInvalidArgument, 400, kInvalidRequest, "", Retry::kNever, About::kRequest},
    {absl::StatusCode::kOutOfRange,
     400,
     kInvalidRequest,
     "context_length_exceeded",
     Retry::kNever,
     About::kRequest},
    {absl::StatusCode::kUnimplemented,
     400,
     kInvalidRequest,
     "unsupported_value",
     Retry::kNever,
     About::kRequest},
    {absl::StatusCode::kUnauthenticated,
     401,
     kInvalidRequest,
     "invalid_api_key",
     Retry::kNever,
     About::kServer},
    {absl::StatusCode::kPermissionDenied,
     403,
     kInvalidRequest,
     "forbidden",
     Retry::kNever,
     About::kServer},
    {absl::StatusCode::kNotFound,
     404,
     kInvalidRequest,
     "model_not_found",
     Retry::kNever,
     About::kRequest},
    {absl::StatusCode::kResourceExhausted,
     429,
     "rate_limit_error",
     "rate_limit_exceeded",
     Retry::kMay,
     About::kServer},
    // Who asked has gone: nobody reads it, but it is counted.
    {absl::StatusCode::kCancelled,
     499,
     kInvalidRequest,
     "client_closed_request",
     Retry::kNever,
     About::kServer},
    {absl::StatusCode::kUnavailable, 503, kServerError, "unavailable", Retry::kMay, About::kServer},
    {absl::StatusCode::kDeadlineExceeded,
     504,
     kServerError,
     "timeout",
     Retry::kMay,
     About::kServer},
};

// For every other code; `status` is not looked at.
constexpr StatusRow kInternalRow = {absl::StatusCode::kInternal,
                                    500,
                                    kServerError,
                                    "internal_error",
                                    Retry::kNever,
                                    About::kInternals};

struct HttpRow {
  std::string_view code;
  int32_t http_status;
  Retry retry;
};

constexpr HttpRow kHttpRows[] = {
    {"bad_request", 400, Retry::kNever},
    {"forbidden", 403, Retry::kNever},
    {"not_found", 404, Retry::kNever},
    {"method_not_allowed", 405, Retry::kNever},
    {"request_timeout", 408, Retry::kMay},
    {"request_too_large", 413, Retry::kNever},
    {"uri_too_long", 414, Retry::kNever},
    {"unsupported_media_type", 415, Retry::kNever},
    {"expectation_failed", 417, Retry::kNever},
    {"headers_too_large", 431, Retry::kNever},
    {"client_closed_request", 499, Retry::kNever},
    {"internal_error", 500, Retry::kNever},
    {"not_implemented", 501, Retry::kNever},
    {"unavailable", 503, Retry::kMay},
    {"http_version_not_supported", 505, Retry::kNever},
};

std::string BoundedMessage(std::string_view message) {
  if (message.size() <= kMaxMessageBytes) {
    return ReplaceInvalidUtf8(message);
  }
  size_t end = kMaxMessageBytes;
  while (end > 0 && (static_cast<uint8_t>(message[end]) & 0xC0U) == 0x80U) {
    --end;  // whole characters only
  }
  return ReplaceInvalidUtf8(message.substr(0, end)) + "…";
}

// The path before the first ": ", when it is one: no blanks.
std::string_view PathIn(std::string_view message) {
  const size_t end = message.find(": ");
  if (end == std::string_view::npos || end > kMaxParamBytes ||
      message.substr(0, end).find(' ') != std::string_view::npos) {
    return {};
  }
  return message.substr(0, end);
}

}  // namespace

ApiError ApiErrorOf(const absl::Status& status) {
  const auto* found =
      std::find_if(std::begin(kStatusRows), std::end(kStatusRows), [&status](const StatusRow& row) {
        return row.status == status.code();
      });
  const StatusRow& row = found == std::end(kStatusRows) ? kInternalRow : *found;
  ApiError error;
  error.http_status = row.http_status;
  error.type = row.type;
  error.code = row.code;
  error.may_retry = row.retry == Retry::kMay;
  if (row.about == About::kInternals) {
    error.message = "internal error";
    return error;
  }
  error.message = BoundedMessage(MessageOf(status));
  if (row.about == About::kRequest) {
    error.param = PathIn(error.message);
  }
  return error;
}

ApiError ApiErrorOf(int32_t http_status, std::string_view message) {
  const auto* found =
      std::find_if(std::begin(kHttpRows), std::end(kHttpRows), [http_status](const HttpRow& row) {
        return row.http_status == http_status;
      });
  ApiError error;
  error.http_status = http_status;
  error.type = http_status < 500 ? kInvalidRequest : kServerError;
  error.message = BoundedMessage(message);
  if (found != std::end(kHttpRows)) {
    error.code = found->code;
    error.may_retry = found->retry == Retry::kMay;
  }
  return error;
}

std::string ToJson(const ApiError& error) {
  std::string json = R"({"error":{"message":)";
  const auto append_or_null = [&json](std::string_view name, std::string_view text) {
    json.append(name);
    if (text.empty()) {
      json.append("null");
    } else {
      AppendJsonString(text, json);
    }
  };
  AppendJsonString(error.message, json);
  json.append(R"(,"type":)");
  AppendJsonString(error.type, json);
  append_or_null(R"(,"param":)", error.param);
  append_or_null(R"(,"code":)", error.code);
  json.append("}}");
  return json;
}

}  // namespace hadal
