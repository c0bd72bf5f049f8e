#include "server/operations/request_log.h"

#include <chrono>
#include <string>

#include <gtest/gtest.h>

#include "base/json.h"

namespace hadal {
namespace {

boost::json::object Logged(const RequestLine& line) {
  testing::internal::CaptureStderr();
  LogRequest(line);
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(text.find('\n'), text.size() - 1);
  const auto value = ParseJson(text);
  EXPECT_TRUE(value.ok()) << text << value.status();
  return value.ok() ? value->as_object() : boost::json::object();
}

TEST(RequestLogTest, OneObjectSaysAllOfARequest) {
  const boost::json::object line = Logged({.request_id = "req-7",
                                           .tenant = "team-a",
                                           .client_address = "10.0.0.1",
                                           .route = "chat_completions",
                                           .status = 200,
                                           .finish_reason = "stop",
                                           .prompt_tokens = 12,
                                           .completion_tokens = 34,
                                           .queue = std::chrono::microseconds(1500),
                                           .first_token = std::chrono::milliseconds(20),
                                           .total = std::chrono::seconds(2)});
  EXPECT_EQ(line.at("message").as_string(), "request");
  EXPECT_EQ(line.at("request_id").as_string(), "req-7");
  EXPECT_EQ(line.at("tenant").as_string(), "team-a");
  EXPECT_EQ(line.at("client").as_string(), "10.0.0.1");
  EXPECT_EQ(line.at("route").as_string(), "chat_completions");
  EXPECT_EQ(line.at("status").as_int64(), 200);
  EXPECT_EQ(line.at("finish_reason").as_string(), "stop");
  EXPECT_EQ(line.at("prompt_tokens").as_int64(), 12);
  EXPECT_EQ(line.at("completion_tokens").as_int64(), 34);
  EXPECT_EQ(line.at("queue_ms").as_double(), 1.5);
  EXPECT_EQ(line.at("first_token_ms").to_number<double>(), 20);
  EXPECT_EQ(line.at("total_ms").to_number<double>(), 2000);
}

TEST(RequestLogTest, WhatNeverHappenedIsNull) {
  const boost::json::object line = Logged({.request_id = "r", .status = 429});
  EXPECT_TRUE(line.at("queue_ms").is_null());
  EXPECT_TRUE(line.at("first_token_ms").is_null());
}

TEST(RequestLogTest, HostileStringsStayOneLineAndShort) {
  const std::string hostile =
      std::string("a\r\n\x1B\xE2\x80\xA8\xFF\"") + std::string(100'000, 'x');
  const boost::json::object line = Logged({.request_id = hostile,
                                           .tenant = hostile,
                                           .client_address = hostile,
                                           .route = hostile,
                                           .finish_reason = hostile});
  for (const char* key : {"request_id", "tenant", "client", "route", "finish_reason"}) {
    EXPECT_LT(line.at(key).as_string().size(), 300U) << key;
    EXPECT_TRUE(line.at(key).as_string().starts_with("a\r\n\x1B")) << key;
  }
}

}  // namespace
}  // namespace hadal
