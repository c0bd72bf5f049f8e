#include "base/log.h"

#include <algorithm>
#include <limits>
#include <string>

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

TEST(LogTest, FieldsKeepTheirTypes) {
  testing::internal::CaptureStderr();
  const std::string id = "req-1";
  Log(LogLevel::kWarning,
      "request",
      {{"request_id", id},
       {"route", "chat"},
       {"status", 200},
       {"tokens", int64_t{1} << 40U},
       {"seconds", 0.25},
       {"rate", std::numeric_limits<double>::infinity()},
       {"stream", true}});
  const std::string line = testing::internal::GetCapturedStderr();
  const auto value = ParseJson(line);
  ASSERT_TRUE(value.ok()) << line << value.status();
  EXPECT_EQ(value->at("message").as_string(), "request");
  EXPECT_EQ(value->at("request_id").as_string(), "req-1");
  EXPECT_EQ(value->at("route").as_string(), "chat");
  EXPECT_EQ(value->at("status").as_int64(), 200);
  EXPECT_EQ(value->at("tokens").as_int64(), int64_t{1} << 40U);
  EXPECT_EQ(value->at("seconds").as_double(), 0.25);
  EXPECT_TRUE(value->at("rate").is_null());
  EXPECT_TRUE(value->at("stream").as_bool());
}

TEST(LogTest, WhatClientsSendStaysOneLineAndCannotAddFields) {
  const std::string hostile =
      "a\r\nb\x1B[31m\xE2\x80\xA8\xE2\x80\xA9\xC2\x85\x7F\xC0\xAF\",\"x\":\"y";
  testing::internal::CaptureStderr();
  Log(LogLevel::kWarning, hostile, {{"value", hostile}, {hostile, 1}});
  const std::string line = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  for (const char* separator : {"\r", "\x1B", "\xE2\x80\xA8", "\xE2\x80\xA9", "\xC2\x85", "\x7F"}) {
    EXPECT_THAT(line, testing::Not(testing::HasSubstr(separator)));
  }
  const auto value = ParseJson(line);
  ASSERT_TRUE(value.ok()) << line << value.status();
  EXPECT_EQ(value->as_object().size(), 6U);  // time, level, thread, message and the two
  EXPECT_EQ(
      value->at("value").as_string(),
      "a\r\nb\x1B[31m\xE2\x80\xA8\xE2\x80\xA9\xC2\x85\x7F\xEF\xBF\xBD\xEF\xBF\xBD\",\"x\":\"y");
}

}  // namespace
}  // namespace hadal
