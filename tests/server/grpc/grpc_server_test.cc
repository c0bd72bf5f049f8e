// Limits, health and the end of a server.

#include "server/grpc/grpc_server.h"

#include <chrono>
#include <grpcpp/generic/generic_stub.h>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/grpc/test_grpc_server.h"

namespace hadal {
namespace {

using testing::HasSubstr;

constexpr const char* kHealthCheck = "/grpc.health.v1.Health/Check";
constexpr const char* kInferenceName = "\x0a\x12hadal.v1.Inference";  // service: ...
constexpr const char* kOtherName = "\x0a\x05other";
const std::string kServing = "\x08\x01";
const std::string kNotServing = "\x08\x02";

// A call of Watch.
class HealthWatch {
 public:
  explicit HealthWatch(TestGrpcServer& server) : stub_(server.channel) {
    call_ = stub_.PrepareCall(&context_, "/grpc.health.v1.Health/Watch", &queue_);
    call_->StartCall(nullptr);
    Await();
    const grpc::Slice slice(kInferenceName);
    call_->WriteLast(grpc::ByteBuffer(&slice, 1), {}, nullptr);
    Await();
  }
  HealthWatch(const HealthWatch&) = delete;
  HealthWatch& operator=(const HealthWatch&) = delete;

  ~HealthWatch() {
    context_.TryCancel();
    grpc::Status status;
    call_->Finish(&status, nullptr);
    Await();
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
  }

  std::string Next() {
    grpc::ByteBuffer buffer;
    call_->Read(&buffer, nullptr);
    if (!Await()) {
      return "the end";
    }
    grpc::Slice slice;
    EXPECT_TRUE(buffer.DumpToSingleSlice(&slice).ok());
    return {reinterpret_cast<const char*>(slice.begin()), slice.size()};
  }

 private:
  bool Await() {
    void* tag = nullptr;
    bool ok = false;
    return queue_.Next(&tag, &ok) && ok;
  }

  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  grpc::GenericStub stub_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
};

std::string Find(const std::multimap<grpc::string_ref, grpc::string_ref>& metadata,
                 const char* key) {
  const auto found = metadata.find(key);
  return found == metadata.end() ? "" : std::string(found->second.data(), found->second.size());
}

TEST(GrpcServerTest, RefusesAPortThatIsTaken) {
  TestGrpcServer server({});
  const auto second = GrpcServer::Start({.generation = *server.generation,
                                         .admission = server.admission,
                                         .health = server.health,
                                         .keys = server.keys,
                                         .limits = {},
                                         .scheduler_counts = [] { return SchedulerCounts{}; },
                                         .host = "127.0.0.1",
                                         .port = server.server->port(),
                                         .grpc_limits = {}});
  EXPECT_TRUE(absl::IsUnavailable(second.status())) << second.status();
}

TEST(GrpcServerTest, RefusesAHostThatIsNoAddress) {
  TestGrpcServer server({});
  const auto second = GrpcServer::Start({.generation = *server.generation,
                                         .admission = server.admission,
                                         .health = server.health,
                                         .keys = server.keys,
                                         .limits = {},
                                         .scheduler_counts = [] { return SchedulerCounts{}; },
                                         .host = "256.0.0.1.invalid",
                                         .grpc_limits = {}});
  EXPECT_TRUE(absl::IsUnavailable(second.status())) << second.status();
}

TEST(GrpcServerTest, HealthFollowsThePhase) {
  TestGrpcServer server({});
  HealthWatch watch(server);
  EXPECT_EQ(watch.Next(), kServing);
  EXPECT_EQ(server.CallRaw(kHealthCheck, kInferenceName, nullptr).bytes, kServing);
  EXPECT_EQ(server.CallRaw(kHealthCheck, kOtherName, nullptr).status.error_code(),
            grpc::StatusCode::NOT_FOUND);
  server.health.SetPhase(ServerPhase::kDraining);
  EXPECT_EQ(watch.Next(), kNotServing);
  EXPECT_EQ(server.CallRaw(kHealthCheck, "", nullptr).bytes, kNotServing);
}

TEST(GrpcServerTest, HealthFollowsTheEngine) {
  TestGrpcServer server({});
  HealthWatch watch(server);
  EXPECT_EQ(watch.Next(), kServing);
  server.health.SetStuck("test");
  EXPECT_EQ(watch.Next(), kNotServing);
}

TEST(GrpcServerTest, HealthSaysNoUntilTheServerServes) {
  TestGrpcServer server({.phase = ServerPhase::kStarting});
  HealthWatch watch(server);
  EXPECT_EQ(watch.Next(), kNotServing);
  server.health.SetPhase(ServerPhase::kServing);
  EXPECT_EQ(watch.Next(), kServing);
}

TEST(GrpcServerTest, HealthMayChangeWhenTheServerIsGone) {
  TestGrpcServer server({});
  server.server.reset();
  server.health.SetPhase(ServerPhase::kDraining);
  EXPECT_EQ(server.health.phase(), ServerPhase::kDraining);
}

TEST(GrpcServerTest, ADrainFinishesWhatWasTakenAndTakesNoMore) {
  TestGrpcServer server({});
  server.executor.AllowSteps(3);
  grpc::ClientContext context;
  const auto reader = server.stub->Generate(&context, TextRequest(20));
  server.executor.AwaitHeldStep();
  server.server->BeginDrain();
  server.admission.BeginDrain();
  EXPECT_EQ(server.CallRaw(kHealthCheck, kInferenceName, nullptr).bytes, kNotServing);
  EXPECT_EQ(Generate(server, TextRequest(1)).status.error_code(), grpc::StatusCode::UNAVAILABLE);
  v1::TokenizeRequest tokenize;
  tokenize.set_text("x");
  EXPECT_EQ(server.CallRaw("/hadal.v1.Inference/Tokenize", tokenize.SerializeAsString(), nullptr)
                .status.error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_FALSE(server.server->WaitUntilIdle(SteadyClock().Now()));
  server.executor.AllowAllSteps();
  const WholeAnswer answer = ReadAnswer(*reader);
  EXPECT_TRUE(answer.status.ok());
  EXPECT_EQ(answer.usage->completion_tokens(), 20);
  EXPECT_TRUE(server.server->WaitUntilIdle(TimePoint::max()));
  EXPECT_TRUE(server.DrainsToNothing());
}

TEST(GrpcServerTest, AFullServerSaysWhenToTryAgain) {
  TestGrpcServer server({.load = {.requests = 2, .prompt_tokens = 2000, .body_bytes = 1 << 20}});
  v1::GenerateRequest request = TextRequest(1);
  request.mutable_params()->set_n(2);
  EXPECT_TRUE(Generate(server, request).status.ok()) << "at the limit";
  EXPECT_TRUE(server.server->WaitUntilIdle(TimePoint::max()));
  request.mutable_params()->set_n(3);
  grpc::ClientContext context;
  const WholeAnswer answer = ReadAnswer(*server.stub->Generate(&context, request));
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(answer.status.error_message(), HasSubstr("limit of 2 requests"));
  EXPECT_EQ(Find(context.GetServerTrailingMetadata(), "grpc-retry-pushback-ms"),
            std::to_string(server.admission.RetryAfterSeconds() * 1000));
  EXPECT_EQ(server.Metric("hadal_requests_rejected_total", {{"reason", "requests"}}), 1);
  EXPECT_TRUE(server.DrainsToNothing());
}

TEST(GrpcServerTest, ARequestIsLetInByItsBytesBeforeItIsRead) {
  TestGrpcServer server({.load = {.requests = 2, .prompt_tokens = 2000, .body_bytes = 1000}});
  const auto answer =
      server.CallRaw("/hadal.v1.Inference/Generate", std::string(1001, '\xff'), nullptr);
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  const auto smaller =
      server.CallRaw("/hadal.v1.Inference/Generate", std::string(1000, '\xff'), nullptr);
  EXPECT_EQ(smaller.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST(GrpcServerTest, RefusesMessagesThatAreTooLarge) {
  TestGrpcServer server({.grpc_limits = {.max_message_bytes = 10'000}});
  v1::DetokenizeRequest request;
  request.set_model(std::string(10'000 - 3, 'x'));  // tag and length take three bytes
  ASSERT_EQ(request.ByteSizeLong(), 10'000U);
  const std::string path = "/hadal.v1.Inference/Detokenize";
  EXPECT_EQ(server.CallRaw(path, request.SerializeAsString(), nullptr).status.error_code(),
            grpc::StatusCode::NOT_FOUND);
  request.set_model(request.model() + "x");
  EXPECT_EQ(server.CallRaw(path, request.SerializeAsString(), nullptr).status.error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

// gRPC may close the connection with it, so that each call has its own.
TEST(GrpcServerTest, RefusesMetadataThatAreTooLarge) {
  TestGrpcServer server({});
  const auto call = [&server](size_t num_bytes) {
    const auto stub = v1::Inference::NewStub(server.Connect({}));
    grpc::ClientContext context;
    context.AddMetadata("x-padding", std::string(num_bytes, 'x'));
    v1::GetLoadResponse response;
    return stub->GetLoad(&context, {}, &response).error_code();
  };
  EXPECT_EQ(call(15'000), grpc::StatusCode::OK);
  EXPECT_EQ(call(17'000), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(call(15'000), grpc::StatusCode::OK);
}

// A message of zeros is a thousandth of its size when it is compressed.
TEST(GrpcServerTest, RefusesCompressedMessages) {
  TestGrpcServer server({});
  v1::GenerateRequest request = TextRequest(1);
  request.set_text(std::string(1 << 20, ' '));
  for (const auto algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    grpc::ClientContext context;
    context.set_compression_algorithm(algorithm);
    const WholeAnswer answer = ReadAnswer(*server.stub->Generate(&context, request));
    EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::UNIMPLEMENTED)
        << answer.status.error_message();
  }
  EXPECT_TRUE(Generate(server, TextRequest(1)).status.ok());
}

TEST(GrpcServerTest, MalformedMessagesAreInvalid) {
  TestGrpcServer server({});
  for (const char* method : {"Generate", "Chat", "Tokenize", "Detokenize", "Cancel", "GetLoad"}) {
    SCOPED_TRACE(method);
    const std::string path = std::string("/hadal.v1.Inference/") + method;
    const auto answer = server.CallRaw(path, "\x0a\x7f", nullptr);
    EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(answer.status.error_message(), HasSubstr("hadal.v1."));
  }
  EXPECT_EQ(server.Metric("hadal_requests_rejected_total", {{"reason", "invalid"}}), 6);
}

}  // namespace
}  // namespace hadal
