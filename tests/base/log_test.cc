#include "base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"

namespace hadal {
namespace {

TEST(LogTest, EveryLineIsJsonWhateverTheMessageHolds) {
  testing::internal::CaptureStderr();
  Log(LogLevel::kWarning, "quote \" slash \\ newline \n brace {} bad \xFF end");
  const std::string line = testing::internal::GetCapturedStderr();
  const auto value = ParseJson(line);
  ASSERT_TRUE(value.ok()) << line << value.status();
  EXPECT_EQ(value->at("level").as_string(), "warning");
  EXPECT_EQ(value->at("message").as_string(),
            "quote \" slash \\ newline \n brace {} bad \xEF\xBF\xBD end");
}

TEST(LogTest, LinesBelowTheLevelAreDropped) {
  testing::internal::CaptureStderr();
  SetLogLevel(LogLevel::kError);
  Log(LogLevel::kWarning, "unseen");
  SetLogLevel(LogLevel::kInfo);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace hadal
