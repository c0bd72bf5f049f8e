// Every method there is, and some that there are not, with and without keys.

#include "server/grpc/key_check.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/grpc/test_grpc_server.h"

namespace hadal {
namespace {

using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Not;

constexpr const char* kReflection =
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
constexpr const char* kListServices = "\x3a\x01*";  // list_services: "*"
constexpr const char* kHealthCheck = "/grpc.health.v1.Health/Check";
constexpr const char* kHealthWatch = "/grpc.health.v1.Health/Watch";
const std::string kServing = "\x08\x01";

std::vector<std::string> PathsOfInference() {
  const auto* service = v1::GenerateRequest::descriptor()->file()->service(0);
  std::vector<std::string> paths;
  for (int i = 0; i < service->method_count(); ++i) {
    paths.push_back("/" + service->full_name() + "/" + service->method(i)->name());
  }
  return paths;
}

TEST(KeyCheckTest, WithoutAKnownKeyNothingCanBeCalled) {
  TestGrpcServer server({.with_keys = true});
  std::vector<std::string> paths = PathsOfInference();
  EXPECT_EQ(paths.size(), 6U);
  for (const char* path : {kReflection,
                           "/hadal.v1.Inference/Nothing",
                           "/hadal.v1.Nothing/Generate",
                           "/hadal.v1.Inference/generate",
                           "/hadal.v1.Inference//Generate",
                           "/grpc.health.v1.Healthy/Check",
                           "/grpc.health.v1.health/Check",
                           "/grpc.health.v1.Health",
                           "//grpc.health.v1.Health/Check",
                           "/",
                           "/x"}) {
    paths.emplace_back(path);
  }
  for (const std::string& path : paths) {
    SCOPED_TRACE(path);
    for (const char* key : {static_cast<const char*>(nullptr), "", "key-0123456789abcdeg"}) {
      const auto answer = server.CallRaw(path, "", key);
      EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
      EXPECT_THAT(answer.status.error_message(), Not(HasSubstr("key-0123456789abcde")));
      EXPECT_EQ(answer.bytes, "");
    }
  }
  EXPECT_EQ(server.executor.num_steps(), 0);
}

TEST(KeyCheckTest, WithAKeyAllCanBeCalled) {
  TestGrpcServer server({.with_keys = true});
  for (const std::string& path : PathsOfInference()) {
    SCOPED_TRACE(path);
    EXPECT_NE(server.CallRaw(path, "", kKey).status.error_code(),
              grpc::StatusCode::UNAUTHENTICATED);
  }
  EXPECT_EQ(server.CallRaw("/hadal.v1.Inference/Nothing", "", kKey).status.error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_THAT(server.CallRaw(kReflection, kListServices, kKey).bytes,
              HasSubstr("hadal.v1.Inference"));
}

TEST(KeyCheckTest, HealthNeedsNone) {
  TestGrpcServer server({.with_keys = true});
  EXPECT_EQ(server.CallRaw(kHealthCheck, "", nullptr).bytes, kServing);
  EXPECT_EQ(server.CallRaw(kHealthWatch, "", nullptr).bytes, kServing);
  EXPECT_EQ(server.CallRaw("/grpc.health.v1.Health/Nothing", "", nullptr).status.error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
}

TEST(KeyCheckTest, TwoKeysAreNone) {
  TestGrpcServer server({.with_keys = true});
  for (const char* second : {kKey, kOtherKey, "nonsense"}) {
    grpc::ClientContext context;
    AddKey(kKey, context);
    AddKey(second, context);
    v1::GetLoadResponse response;
    EXPECT_EQ(server.stub->GetLoad(&context, {}, &response).error_code(),
              grpc::StatusCode::UNAUTHENTICATED);
  }
}

TEST(KeyCheckTest, WithoutKeysEverybodyMay) {
  TestGrpcServer server({});
  grpc::ClientContext context;
  v1::GetLoadResponse response;
  EXPECT_TRUE(server.stub->GetLoad(&context, {}, &response).ok());
}

TEST(KeyCheckTest, ReflectionCanBeOff) {
  TestGrpcServer server({.reflection = Reflection::kOff});
  EXPECT_EQ(server.CallRaw(kReflection, kListServices, nullptr).status.error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  TestGrpcServer other({.reflection = Reflection::kOn});
  EXPECT_THAT(other.CallRaw(kReflection, kListServices, nullptr).bytes,
              HasSubstr("hadal.v1.Inference"));
}

}  // namespace
}  // namespace hadal
