#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "engine/api/kernel_health.h"
#include "scheduler/scheduler_loop.h"

namespace hadal {

/// The routes that requests are counted by: a closed set.
enum class RouteName : int8_t {
  kChatCompletions,
  kCompletions,
  kModels,
  kTokenize,
  kDetokenize,
  kGrpcGenerate,
  kGrpcChat,
  kGrpcOther,
  kProbe,
  kMetrics,
  kOther,  // what has no route
};

/// "chat_completions", "grpc_generate", …: the label, and what logs say.
std::string_view NameOf(RouteName route);

/// Why a request was refused before any work was done for it.
enum class RejectReason : int8_t {
  kRequests,  // too many are live
  kTokens,    // too many prompt tokens wait
  kMemory,    // too many bytes of bodies
  kDraining,
  kDeadline,
  kInvalid,
};

/// What one generation came to, for histograms. Times are those of the server, not the client's.
struct GenerationTimes {
  Duration queue{};                       // from its arrival to its first step
  std::optional<Duration> first_token{};  // from its arrival
  Duration decode{};                      // from its first token to its last
  Duration total{};                       // from its arrival
  int64_t num_prompt_tokens = 0;
  int64_t num_completion_tokens = 0;  // of all choices
  int64_t max_completion_tokens = 0;  // of the longest choice
};

/// What part of an answer a token belongs to.
enum class AnswerPhase : int8_t { kReasoning, kContent, kTool };

/// The cache, once it is there.
struct CacheInfo {
  std::string dtype;
  int64_t block_size = 0;
  int64_t num_blocks = 0;
};

/// The experts of the model, once it is known. A model without experts has none of these.
struct ExpertShape {
  int64_t first_layer = 0;  // of the model's layers, the first with experts; the others follow
  int64_t num_layers = 0;
  int64_t num_experts = 0;  // routed ones, in each layer
};

/// What is true at the moment of a scrape.
struct ServerMoment {
  Duration step_age{};               // since the step under way began, or since the last one ended
  int64_t queue_prefill_tokens = 0;  // prompt tokens of requests that no step has begun
};

/// Every number that a user may want, as `hadal_*` in Prometheus' text format. Labels come from
/// closed sets; the metrics exist from the beginning, at zero. Any thread, unless said otherwise.
class ServerMetrics {
 public:
  struct Info {
    std::string version;
    std::string model;  // the served name: the label `model` of all that is about it
    int64_t max_running_sequences = 0;
    int64_t max_requests = 0;
  };

  static std::unique_ptr<ServerMetrics> Create(const Info& info);
  virtual ~ServerMetrics() = default;
  ServerMetrics(const ServerMetrics&) = delete;
  ServerMetrics& operator=(const ServerMetrics&) = delete;

  // What becomes known while the server starts; each once.
  virtual void SetCache(const CacheInfo& cache) = 0;
  virtual void SetExperts(const ExpertShape& shape) = 0;
  virtual void SetLoadTime(Duration duration) = 0;

  /// Asked at each scrape, on its thread; null: no more. When this returns nobody is in the
  /// function that was there before.
  virtual void SetMoment(std::function<ServerMoment()> moment) = 0;

  /// Likewise, how the ops of the kernel table behave. Their names are a closed set.
  virtual void SetKernels(std::function<std::vector<KernelHealth>()> kernels) = 0;

  // Requests.

  /// `status` is that of HTTP, for gRPC the equal one; `finish_reason` is empty when nothing was
  /// generated. Values outside the known ones count as "other".
  virtual void CountRequest(RouteName route, int32_t status, std::string_view finish_reason) = 0;
  virtual void CountRejection(RejectReason reason) = 0;
  virtual void ObserveGeneration(const GenerationTimes& times) = 0;
  virtual void ObserveInterTokenLatency(Duration latency) = 0;  // of one choice
  virtual void CountTokens(AnswerPhase phase, int64_t num_tokens) = 0;
  virtual void ChangeOpenStreams(int64_t change) = 0;
  virtual void ChangeInFlightBytes(int64_t change) = 0;
  virtual void CountDisconnect() = 0;  // a client went away before its response was complete
  virtual void CountSlowClient() = 0;  // was cut off

  // Connections and threads.
  virtual void ChangeConnections(int64_t change) = 0;
  virtual void ObserveReactorStall(Duration delay) = 0;

  // The engine. The scheduler's thread alone calls the first two.

  /// REQUIRES: SetExperts was called with the shape of the report's expert_tokens, or there are
  /// none.
  virtual void ObserveStep(const StepReport& report) = 0;
  virtual void ObserveIdle(const SchedulerCounts& counts) = 0;  // nothing is left to do
  virtual void CountWatchdogTrip() = 0;

  /// All of it, in text format 0.0.4. Gauges that depend on the moment, such as the age of the last
  /// step, are made now.
  virtual std::string Serialize() = 0;

 protected:
  ServerMetrics() = default;
};

}  // namespace hadal
