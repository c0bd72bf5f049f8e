#include "base/status.h"

#include <memory>

#include <gtest/gtest.h>

namespace hadal {
namespace {

absl::StatusOr<std::unique_ptr<int>> Half(int value) {
  if (value % 2 != 0) {
    return InvalidArgument("%d is odd", value);
  }
  return std::make_unique<int>(value / 2);
}

absl::StatusOr<int> Quarter(int value) {
  ASSIGN_OR_RETURN(const std::unique_ptr<int> half, Half(value));
  ASSIGN_OR_RETURN(const std::unique_ptr<int> quarter, Half(*half));
  return *quarter;
}

absl::Status CheckQuarter(int value) {
  RETURN_IF_ERROR(Quarter(value).status());
  return absl::OkStatus();
}

TEST(StatusTest, MacrosPassValuesAndErrors) {
  EXPECT_EQ(*Quarter(12), 3);
  EXPECT_EQ(Quarter(6).status(), absl::InvalidArgumentError("3 is odd"));
  EXPECT_EQ(CheckQuarter(7), absl::InvalidArgumentError("7 is odd"));
  EXPECT_TRUE(CheckQuarter(8).ok());
}

TEST(StatusTest, AnnotateKeepsTheCode) {
  EXPECT_EQ(Annotate(absl::NotFoundError("gone"), "config.json"),
            absl::NotFoundError("config.json: gone"));
  EXPECT_TRUE(Annotate(absl::OkStatus(), "config.json").ok());
}

}  // namespace
}  // namespace hadal
