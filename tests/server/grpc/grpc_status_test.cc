#include "server/grpc/grpc_status.h"

#include <gtest/gtest.h>

#include "server/openai/api_error.h"

namespace hadal {
namespace {

TEST(GrpcStatusTest, CodesAndMessagesAreTheSame) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
  for (int code = 1; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), "why");
    const grpc::Status converted = ToGrpcStatus(status);
    EXPECT_EQ(static_cast<int>(converted.error_code()), code);
    const bool is_ours =
        absl::IsInternal(status) || absl::IsUnknown(status) || absl::IsDataLoss(status);
    EXPECT_EQ(converted.error_message(), is_ours ? "internal error" : "why");
  }
}

// Both interfaces are counted alike, but that gRPC knows more codes.
TEST(GrpcStatusTest, CountsAsHttpDoes) {
  EXPECT_EQ(HttpStatusOf(absl::StatusCode::kOk), 200);
  for (int code = 1; code <= 16; ++code) {
    const auto status_code = static_cast<absl::StatusCode>(code);
    if (status_code == absl::StatusCode::kCancelled) {
      EXPECT_EQ(HttpStatusOf(status_code), 499);
    } else if (status_code == absl::StatusCode::kAlreadyExists) {
      EXPECT_EQ(HttpStatusOf(status_code), 400);
    } else {
      EXPECT_EQ(HttpStatusOf(status_code), ApiErrorOf(absl::Status(status_code, "x")).http_status);
    }
  }
}

}  // namespace
}  // namespace hadal
