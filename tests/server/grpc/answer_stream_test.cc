// How streams end before their time.

#include "server/grpc/answer_stream.h"

#include <chrono>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/grpc/test_grpc_server.h"

namespace hadal {
namespace {

using testing::HasSubstr;

constexpr int64_t kManySteps = 400;

// An answer of 400 tokens that stands still after three of them.
class HeldAnswer {
 public:
  HeldAnswer(TestGrpcServer& server, const char* key) : server_(server) {
    server_.executor.AllowSteps(3);
    if (key != nullptr) {
      AddKey(key, context);
    }
    v1::GenerateRequest request = TextRequest(kManySteps);
    request.set_request_id("held");
    reader = server_.stub->Generate(&context, request);
    reader->WaitForInitialMetadata();
    server_.executor.AwaitHeldStep();
  }

  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReader<v1::AnswerUpdate>> reader;

 private:
  TestGrpcServer& server_;
};

// Whether the engine was spared most of the tokens that were asked for.
void ExpectFreed(TestGrpcServer& server) {
  EXPECT_TRUE(server.DrainsToNothing());
  EXPECT_LT(server.executor.num_steps(), kManySteps / 2);
  EXPECT_EQ(server.Metric("hadal_streams_open", {}), 0);
}

double CountOf(const TestGrpcServer& server, const std::string& code, const std::string& reason) {
  return server.Metric("hadal_requests_total",
                       {{"route", "grpc_generate"}, {"code", code}, {"finish_reason", reason}});
}

// The client's cancellation or Cancel has come to the worker, but not from there to the loop: that
// is known to have happened when the call is not live any more.
void AwaitNoCalls(TestGrpcServer& server) {
  EXPECT_TRUE(server.server->WaitUntilIdle(TimePoint::max()));
}

TEST(AnswerStreamTest, EndsTheGenerationWhenTheClientCancels) {
  TestGrpcServer server({});
  HeldAnswer answer(server, nullptr);
  answer.context.TryCancel();
  EXPECT_EQ(ReadAnswer(*answer.reader).status.error_code(), grpc::StatusCode::CANCELLED);
  AwaitNoCalls(server);
  ExpectFreed(server);
  EXPECT_EQ(CountOf(server, "499", "cancelled"), 1);
  EXPECT_EQ(server.Metric("hadal_client_disconnects_total", {}), 1);
}

TEST(AnswerStreamTest, EndsTheGenerationWhenTheConnectionIsLost) {
  TestGrpcServer server({});
  server.executor.AllowSteps(3);
  {
    // A channel that goes takes its calls with it.
    const auto stub = v1::Inference::NewStub(server.Connect({}));
    grpc::ClientContext context;
    const auto reader = stub->Generate(&context, TextRequest(kManySteps));
    reader->WaitForInitialMetadata();
    server.executor.AwaitHeldStep();
    context.TryCancel();
  }
  AwaitNoCalls(server);
  ExpectFreed(server);
}

TEST(AnswerStreamTest, CancelEndsARequestOfTheSameTenant) {
  TestGrpcServer server({.with_keys = true});
  HeldAnswer answer(server, kKey);
  const auto cancel = [&server](const char* key, const std::string& request_id) {
    grpc::ClientContext context;
    AddKey(key, context);
    v1::CancelRequest request;
    request.set_request_id(request_id);
    v1::CancelResponse response;
    EXPECT_TRUE(server.stub->Cancel(&context, request, &response).ok());
    return response.found();
  };
  EXPECT_FALSE(cancel(kOtherKey, "held")) << "others do not learn that it exists";
  EXPECT_FALSE(cancel(kKey, "another"));
  EXPECT_TRUE(cancel(kKey, "held"));
  const WholeAnswer whole = ReadAnswer(*answer.reader);
  EXPECT_EQ(whole.status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_THAT(whole.status.error_message(), HasSubstr("cancelled"));
  AwaitNoCalls(server);
  EXPECT_FALSE(cancel(kKey, "held"));
  ExpectFreed(server);
  EXPECT_EQ(CountOf(server, "499", "cancelled"), 1);
  EXPECT_EQ(server.Metric("hadal_client_disconnects_total", {}), 0);
}

TEST(AnswerStreamTest, ALiveIdIsTaken) {
  TestGrpcServer server({.with_keys = true});
  const HeldAnswer answer(server, kKey);
  v1::GenerateRequest request = TextRequest(1);
  request.set_request_id("held");
  grpc::ClientContext same;
  AddKey(kKey, same);
  EXPECT_EQ(ReadAnswer(*server.stub->Generate(&same, request)).status.error_code(),
            grpc::StatusCode::ALREADY_EXISTS);
  server.executor.AllowAllSteps();
  grpc::ClientContext other;
  AddKey(kOtherKey, other);
  EXPECT_TRUE(ReadAnswer(*server.stub->Generate(&other, request)).status.ok());
  EXPECT_TRUE(ReadAnswer(*answer.reader).status.ok());
  AwaitNoCalls(server);
  grpc::ClientContext again;
  AddKey(kKey, again);
  EXPECT_TRUE(ReadAnswer(*server.stub->Generate(&again, request)).status.ok());
}

// The call's deadline is an hour away for gRPC, but not for the clock of the scheduler.
TEST(AnswerStreamTest, TheDeadlineOfTheCallIsThatOfTheRequest) {
  TestGrpcServer server({.limits = {.max_timeout = std::chrono::hours(10)}});
  server.executor.AllowSteps(3);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::hours(1));
  const auto reader = server.stub->Generate(&context, TextRequest(kManySteps));
  server.executor.AwaitHeldStep();
  server.clock.Advance(std::chrono::minutes(61));
  server.executor.AllowAllSteps();
  const WholeAnswer answer = ReadAnswer(*reader);
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_FALSE(answer.usage.has_value());
  AwaitNoCalls(server);
  ExpectFreed(server);
  EXPECT_EQ(CountOf(server, "504", "deadline_exceeded"), 1);
}

TEST(AnswerStreamTest, EndsWhenTheDeadlinePassesForGrpc) {
  TestGrpcServer server({});
  server.executor.AllowSteps(3);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(500));
  const auto reader = server.stub->Generate(&context, TextRequest(kManySteps));
  EXPECT_EQ(ReadAnswer(*reader).status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  AwaitNoCalls(server);
  ExpectFreed(server);
}

TEST(AnswerStreamTest, EndsAtOnceWhenTheServerAborts) {
  TestGrpcServer server({});
  HeldAnswer answer(server, nullptr);
  server.health.SetPhase(ServerPhase::kAborting);
  EXPECT_EQ(ReadAnswer(*answer.reader).status.error_code(), grpc::StatusCode::UNAVAILABLE);
  AwaitNoCalls(server);
  ExpectFreed(server);
}

TEST(AnswerStreamTest, EndsAtOnceWhenTheEngineIsStuck) {
  TestGrpcServer server({});
  HeldAnswer answer(server, nullptr);
  server.health.SetStuck("test");
  EXPECT_EQ(ReadAnswer(*answer.reader).status.error_code(), grpc::StatusCode::UNAVAILABLE);
  AwaitNoCalls(server);
  ExpectFreed(server);
}

TEST(AnswerStreamTest, AServerThatGoesCutsItOff) {
  TestGrpcServer server({});
  HeldAnswer answer(server, nullptr);
  server.server.reset();
  EXPECT_FALSE(ReadAnswer(*answer.reader).status.ok());
  server.executor.AllowAllSteps();
  server.loop->Drain();
  EXPECT_EQ(server.admission.held().requests, 0);
  EXPECT_LT(server.executor.num_steps(), kManySteps / 2);
}

// The answer is larger than what gRPC sends ahead to a client that keeps its window small, so that
// a message has to wait for the client. The clock goes on until that wait has begun and been long.
TEST(AnswerStreamTest, AClientThatTakesNothingIsCutOff) {
  TestGrpcServer server({.context_tokens = 4096});
  server.executor.SetScript(TokensOf(" word"));
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 64 << 10);
  const auto stub = v1::Inference::NewStub(server.Connect(arguments));
  v1::GenerateRequest request = TextRequest(500);
  request.mutable_params()->set_n(8);
  request.mutable_params()->set_logprobs(20);
  grpc::ClientContext context;
  const auto reader = stub->Generate(&context, request);
  reader->WaitForInitialMetadata();
  server.loop->Drain();  // all is generated
  while (!server.server->WaitUntilIdle(SteadyClock().Now() + std::chrono::milliseconds(100))) {
    server.clock.Advance(std::chrono::seconds(31));
    server.server->NotifyAll();
  }
  EXPECT_EQ(ReadAnswer(*reader).status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(server.Metric("hadal_slow_client_aborts_total", {}), 1);
  EXPECT_EQ(server.admission.held().requests, 0);
}

TEST(AnswerStreamTest, NewsThatComeDuringAWriteAreOneMessage) {
  TestGrpcServer server({});
  const WholeAnswer answer = Generate(server, TextRequest(kManySteps));
  EXPECT_TRUE(answer.status.ok());
  EXPECT_LE(answer.num_messages, kManySteps + 1);
  EXPECT_EQ(answer.usage->completion_tokens(), kManySteps);
}

TEST(AnswerStreamTest, ManyStreamsShareOneConnection) {
  TestGrpcServer server({});
  std::vector<std::thread> clients;
  std::vector<WholeAnswer> answers(8);
  for (size_t i = 0; i < answers.size(); ++i) {
    clients.emplace_back([&server, &answer = answers[i]] {
      v1::GenerateRequest request = TextRequest(50);
      answer = Generate(server, request);
    });
  }
  for (std::thread& client : clients) {
    client.join();
  }
  for (const WholeAnswer& answer : answers) {
    ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
    EXPECT_EQ(answer.choices.at(0).content, answers[0].choices.at(0).content);
  }
  EXPECT_TRUE(server.DrainsToNothing());
}

}  // namespace
}  // namespace hadal
