#include "server/http/server_state.h"

#include <thread>

#include <gtest/gtest.h>

namespace hadal {
namespace {

using Admission = ConnectionCount::Admission;

ConnectionCount::Client ClientOf(const char* address) {
  return ConnectionCount::ClientOf(boost::asio::ip::make_address(address));
}

TimePoint In(Duration duration) {
  return std::chrono::steady_clock::now() + duration;
}

TEST(ConnectionCount, CountsAllAndEachClient) {
  ConnectionCount count({.max_connections = 3, .max_connections_per_address = 2});
  const auto a = ClientOf("10.0.0.1");
  const auto b = ClientOf("10.0.0.2");
  EXPECT_EQ(count.Add(a), Admission::kAdmitted);
  EXPECT_EQ(count.Add(a), Admission::kAdmitted);
  EXPECT_EQ(count.Add(a), Admission::kTooMany) << "of its own";
  EXPECT_EQ(count.Add(b), Admission::kAdmitted);
  EXPECT_EQ(count.Add(b), Admission::kTooMany) << "together";
  count.Remove(a, Admission::kTooMany);
  EXPECT_EQ(count.Add(b), Admission::kTooMany) << "who was refused took no place";
  count.Remove(a, Admission::kAdmitted);
  EXPECT_EQ(count.Add(b), Admission::kAdmitted);
}

TEST(ConnectionCount, NoLimitOfClients) {
  ConnectionCount count({.max_connections = 100, .max_connections_per_address = 0});
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(count.Add(ClientOf("10.0.0.1")), Admission::kAdmitted);
  }
}

TEST(ConnectionCount, ClientsOfIpv6) {
  EXPECT_EQ(ClientOf("2001:db8:1:2::1"), ClientOf("2001:db8:1:2:ffff::2"));
  EXPECT_NE(ClientOf("2001:db8:1:2::1"), ClientOf("2001:db8:1:3::1"));
  EXPECT_NE(ClientOf("10.0.0.1"), ClientOf("10.0.0.2"));
}

TEST(ConnectionCount, RefusalsAreBounded) {
  ConnectionCount count({.max_connections = 1});
  const auto client = ClientOf("10.0.0.1");
  EXPECT_EQ(count.Add(client), Admission::kAdmitted);
  for (int i = 0; i < 64; ++i) {
    EXPECT_EQ(count.Add(client), Admission::kTooMany);
  }
  EXPECT_EQ(count.Add(client), Admission::kTooManyRefusals);
  count.Remove(client, Admission::kTooMany);
  EXPECT_EQ(count.Add(client), Admission::kTooMany);
}

TEST(ConnectionCount, ClosesForGood) {
  ConnectionCount count({.max_connections = 1});
  count.Close();
  EXPECT_EQ(count.Add(ClientOf("10.0.0.1")), Admission::kClosed);
}

TEST(ConnectionCount, WaitsUntilNoneIsLeft) {
  ConnectionCount count({.max_connections = 1});
  const auto client = ClientOf("10.0.0.1");
  EXPECT_TRUE(count.WaitUntilNone(In(Duration::zero())));
  EXPECT_EQ(count.Add(client), Admission::kAdmitted);
  EXPECT_EQ(count.Add(client), Admission::kTooMany);
  EXPECT_FALSE(count.WaitUntilNone(In(Duration::zero())));
  EXPECT_FALSE(count.WaitUntilNone(In(std::chrono::milliseconds(1))));
  std::thread remover([&] { count.Remove(client, Admission::kAdmitted); });
  EXPECT_TRUE(count.WaitUntilNone(TimePoint::max())) << "those refused are not waited for";
  remover.join();
}

}  // namespace
}  // namespace hadal
