#include "server/openai/api_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/utf8.h"
#include "tests/server/openai/openai_test_support.h"

namespace hadal {
namespace {

TEST(ApiErrorTest, EachStatusHasItsPlace) {
  struct Case {
    absl::StatusCode status;
    int32_t http_status;
    const char* type;
    const char* code;
    const char* param;
    bool may_retry;
  };
  constexpr const char* kInvalid = "invalid_request_error";
  const Case cases[] = {
      {absl::StatusCode::kInvalidArgument, 400, kInvalid, "", "a.b[2]", false},
      {absl::StatusCode::kOutOfRange, 400, kInvalid, "context_length_exceeded", "a.b[2]", false},
      {absl::StatusCode::kUnimplemented, 400, kInvalid, "unsupported_value", "a.b[2]", false},
      {absl::StatusCode::kUnauthenticated, 401, kInvalid, "invalid_api_key", "", false},
      {absl::StatusCode::kPermissionDenied, 403, kInvalid, "forbidden", "", false},
      {absl::StatusCode::kNotFound, 404, kInvalid, "model_not_found", "a.b[2]", false},
      {absl::StatusCode::kResourceExhausted,
       429,
       "rate_limit_error",
       "rate_limit_exceeded",
       "",
       true},
      {absl::StatusCode::kCancelled, 499, kInvalid, "client_closed_request", "", false},
      {absl::StatusCode::kUnavailable, 503, "server_error", "unavailable", "", true},
      {absl::StatusCode::kDeadlineExceeded, 504, "server_error", "timeout", "", true},
  };
  for (const Case& row : cases) {
    const ApiError error = ApiErrorOf(absl::Status(row.status, "a.b[2]: wrong: very"));
    EXPECT_EQ(error.http_status, row.http_status);
    EXPECT_EQ(error.type, row.type);
    EXPECT_EQ(error.code, row.code);
    EXPECT_EQ(error.param, row.param) << row.http_status;
    EXPECT_EQ(error.may_retry, row.may_retry) << row.http_status;
    EXPECT_EQ(error.message, "a.b[2]: wrong: very");
    EXPECT_EQ(error.retry_after_s, std::nullopt);
  }
}

TEST(ApiErrorTest, TheInsideStaysInside) {
  for (const absl::StatusCode code : {absl::StatusCode::kInternal,
                                      absl::StatusCode::kUnknown,
                                      absl::StatusCode::kDataLoss,
                                      absl::StatusCode::kAborted,
                                      absl::StatusCode::kAlreadyExists,
                                      absl::StatusCode::kFailedPrecondition}) {
    const ApiError error = ApiErrorOf(absl::Status(code, "/models/secret: 0x7f001234"));
    EXPECT_EQ(error.http_status, 500);
    EXPECT_EQ(error.type, "server_error");
    EXPECT_EQ(error.code, "internal_error");
    EXPECT_EQ(error.message, "internal error");
    EXPECT_EQ(error.param, "");
    EXPECT_FALSE(error.may_retry);
  }
}

TEST(ApiErrorTest, APathHasNoBlanks) {
  const auto param = [](const char* message) {
    return ApiErrorOf(absl::InvalidArgumentError(message)).param;
  };
  EXPECT_EQ(param("messages[0].content: empty"), "messages[0].content");
  EXPECT_EQ(param("invalid JSON near byte 3: syntax error"), "");
  EXPECT_EQ(param("request body: expected an object"), "");
  EXPECT_EQ(param("nothing here"), "");
  EXPECT_EQ(param("a:b"), "");
  EXPECT_EQ(param(""), "");
}

TEST(ApiErrorTest, MessagesAreBoundedUtf8) {
  const ApiError cut = ApiErrorOf(InvalidArgument("%s", std::string(1023, 'x') + "äää"));
  EXPECT_EQ(cut.message, std::string(1023, 'x') + "…");
  const ApiError whole = ApiErrorOf(InvalidArgument("%s", std::string(1022, 'x') + "ä"));
  EXPECT_EQ(whole.message, std::string(1022, 'x') + "ä");
  EXPECT_EQ(ApiErrorOf(InvalidArgument("a\xff")).message, "a\xEF\xBF\xBD");
}

TEST(ApiErrorTest, WhatOnlyHttpKnows) {
  struct Case {
    int32_t http_status;
    const char* type;
    const char* code;
    bool may_retry;
  };
  const Case cases[] = {
      {400, "invalid_request_error", "bad_request", false},
      {403, "invalid_request_error", "forbidden", false},
      {404, "invalid_request_error", "not_found", false},
      {405, "invalid_request_error", "method_not_allowed", false},
      {408, "invalid_request_error", "request_timeout", true},
      {413, "invalid_request_error", "request_too_large", false},
      {415, "invalid_request_error", "unsupported_media_type", false},
      {418, "invalid_request_error", "", false},
      {431, "invalid_request_error", "headers_too_large", false},
      {500, "server_error", "internal_error", false},
      {503, "server_error", "unavailable", true},
      {414, "invalid_request_error", "uri_too_long", false},
      {417, "invalid_request_error", "expectation_failed", false},
      {499, "invalid_request_error", "client_closed_request", false},
      {501, "server_error", "not_implemented", false},
      {505, "server_error", "http_version_not_supported", false},
  };
  for (const Case& row : cases) {
    const ApiError error = ApiErrorOf(row.http_status, "path: text");
    EXPECT_EQ(error.http_status, row.http_status);
    EXPECT_EQ(error.type, row.type) << row.http_status;
    EXPECT_EQ(error.code, row.code) << row.http_status;
    EXPECT_EQ(error.may_retry, row.may_retry) << row.http_status;
    EXPECT_EQ(error.message, "path: text");
    EXPECT_EQ(error.param, "");
  }
}

TEST(ApiErrorTest, JsonHasAllFourKeys) {
  EXPECT_EQ(Json(ToJson(ApiErrorOf(NotFound("model: no \"x\"\n")))), Json(R"({"error": {
    "message": "model: no \"x\"\n", "type": "invalid_request_error", "param": "model",
    "code": "model_not_found"}})"));
  EXPECT_EQ(Json(ToJson(ApiErrorOf(400, ""))), Json(R"({"error": {
    "message": "", "type": "invalid_request_error", "param": null, "code": "bad_request"}})"));
  EXPECT_EQ(Json(ToJson(ApiErrorOf(InvalidArgument("x")))), Json(R"({"error": {
    "message": "x", "type": "invalid_request_error", "param": null, "code": null}})"));
}

}  // namespace
}  // namespace hadal
