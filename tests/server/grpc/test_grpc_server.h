#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/status.h>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/synchronization/mutex.h>

#include "proto/hadal/v1/inference.grpc.pb.h"
#include "server/grpc/grpc_server.h"
#include "server/operations/server_metrics.h"
#include "tests/server/generation/test_model.h"
#include "tests/server/grpc/scripted_executor.h"

namespace hadal {

/// A key that the test server knows, and the one of another tenant.
inline constexpr const char* kKey = "key-0123456789abcdef";
inline constexpr const char* kOtherKey = "key-of-somebody-else-1";

/// A GrpcServer around a simulated engine with the tokenizer of DeepSeek-V3, in the process of the
/// test. Members are public: tests play with them.
class TestGrpcServer {
 public:
  struct Options {
    ChatFormat format = ChatFormat::kV31;
    int64_t context_tokens = 512;
    bool with_keys = false;  // kKey and kOtherKey
    Load load = {.requests = 16, .prompt_tokens = 2000, .body_bytes = 16 << 20};
    GenerationLimits limits = {};
    GrpcLimits grpc_limits = {};
    Reflection reflection = Reflection::kOn;
    ServerPhase phase = ServerPhase::kServing;
  };

  explicit TestGrpcServer(const Options& options);
  TestGrpcServer(const TestGrpcServer&) = delete;
  TestGrpcServer& operator=(const TestGrpcServer&) = delete;
  ~TestGrpcServer();

  /// A connection of its own.
  [[nodiscard]] std::shared_ptr<grpc::Channel> Connect(grpc::ChannelArguments arguments) const;

  /// A call of any method by its path, as bytes; `key` may be null.
  struct Raw {
    grpc::Status status;
    std::string bytes;  // of the first message
  };
  Raw CallRaw(const std::string& path, const std::string& request, const char* key);

  /// Whether the loop has ended all requests, and nothing is held of the server any more. No calls
  /// are taken afterwards.
  [[nodiscard]] bool DrainsToNothing();

  /// The value of one of the metrics, without its label `model`.
  [[nodiscard]] double Metric(const std::string& name,
                              std::map<std::string, std::string> labels) const;

  VirtualClock clock;
  ScriptedExecutor executor;
  std::unique_ptr<ServerMetrics> metrics;
  Health health;
  ApiKeys keys;
  ServedModel model;
  Admission admission;
  std::unique_ptr<SchedulerLoop> loop;
  std::optional<GenerationContext> generation;
  std::unique_ptr<GrpcServer> server;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::Inference::Stub> stub;

 private:
  mutable absl::Mutex mutex_;
  SchedulerCounts counts_ ABSL_GUARDED_BY(mutex_);
};

/// All of an answer.
struct WholeAnswer {
  struct Call {
    std::string id;
    std::string name;
    std::string arguments = {};
    bool complete = false;
  };
  struct Choice {
    std::string content;
    std::string reasoning;
    std::vector<Call> calls;
    std::vector<v1::ContentLogprob> logprobs;
    v1::FinishReason finish = v1::FINISH_REASON_UNSPECIFIED;
  };

  grpc::Status status;
  std::vector<Choice> choices;
  std::optional<v1::Usage> usage;
  int64_t num_messages = 0;
};

/// Reads a stream to its end.
WholeAnswer ReadAnswer(grpc::ClientReader<v1::AnswerUpdate>& reader);

WholeAnswer Generate(TestGrpcServer& server, const v1::GenerateRequest& request);
WholeAnswer Chat(TestGrpcServer& server, const v1::ChatRequest& request);

/// A request to continue "once upon a time" by `max_tokens` tokens.
v1::GenerateRequest TextRequest(int64_t max_tokens);

/// A conversation of one message of a user.
v1::ChatRequest UserRequest(const std::string& content);

void AddKey(const char* key, grpc::ClientContext& context);

}  // namespace hadal
