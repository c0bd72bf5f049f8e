#include "server/config/nearest_name.h"

#include <gtest/gtest.h>

namespace hadal {
namespace {

TEST(NearestNameTest, TypingMistakesAreFound) {
  const std::vector<std::string> known = {"http.port", "http.host", "grpc.port"};
  EXPECT_EQ(NearestName("http.prot", known), "http.port");
  EXPECT_EQ(NearestName("htp.host", known), "http.host");
  EXPECT_EQ(NearestName("grpc.ports", known), "grpc.port");
  EXPECT_EQ(NearestName("http.port", known), "http.port");
}

TEST(NearestNameTest, OtherWordsAreNot) {
  const std::vector<std::string> known = {"http.port", "http.host"};
  EXPECT_EQ(NearestName("", known), "");
  EXPECT_EQ(NearestName("database", known), "");
  EXPECT_EQ(NearestName("http.pxyz", known), "http.port") << "three of nine letters";
  EXPECT_EQ(NearestName("http.wxyz", known), "");
  EXPECT_EQ(NearestName("x", {}), "");
  EXPECT_EQ(NearestName(std::string(1'000'000, 'h'), known), "");
}

}  // namespace
}  // namespace hadal
