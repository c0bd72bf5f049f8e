#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace hadal {

/// An error as the OpenAI API words it.
struct ApiError {
  int32_t http_status = 500;
  std::string type;   // "invalid_request_error", "server_error", …
  std::string code;   // empty: null
  std::string param;  // the field at fault; empty: null
  std::string message;
  bool may_retry = false;                // false sends "x-should-retry: false"
  std::optional<int64_t> retry_after_s;  // sent as Retry-After
};

/// The one table from Status to HTTP. What stands before the first ": " of a message about the
/// request becomes `param` when it is a path: without blanks. Messages are cut at 1 KiB and made
/// valid UTF-8; those of internal errors are not passed on. Any thread.
///
///   InvalidArgument     400 invalid_request_error
///   OutOfRange          400 invalid_request_error, context_length_exceeded
///   Unimplemented       400 invalid_request_error, unsupported_value
///   Unauthenticated     401 invalid_request_error, invalid_api_key
///   PermissionDenied    403 invalid_request_error, forbidden
///   NotFound            404 invalid_request_error, model_not_found
///   ResourceExhausted   429 rate_limit_error, rate_limit_exceeded; may be tried again
///   Cancelled           499 invalid_request_error, client_closed_request
///   Unavailable         503 server_error, unavailable; may be tried again
///   DeadlineExceeded    504 server_error, timeout; may be tried again
///   all others          500 server_error, internal_error
ApiError ApiErrorOf(const absl::Status& status);

/// One that only HTTP knows: 400 bad_request, 403 forbidden, 404 not_found, 405 method_not_allowed,
/// 408 request_timeout, 413 request_too_large, 414 uri_too_long, 415 unsupported_media_type,
/// 417 expectation_failed, 431 headers_too_large, 499 client_closed_request, 500 internal_error,
/// 501 not_implemented, 503 unavailable, 505 http_version_not_supported; others have no code. After
/// 408 and 503 it may be tried again.
ApiError ApiErrorOf(int32_t http_status, std::string_view message);

/// {"error": {"message", "type", "param", "code"}}, all four always.
std::string ToJson(const ApiError& error);

}  // namespace hadal
