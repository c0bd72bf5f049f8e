#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
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
  kOther,  // what has no route
};

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
  Duration queue{};                          // from its arrival to its first step
  std::optional<Duration> first_token = {};  // from its arrival
  Duration decode{};                         // from its first token to its last
  Duration total{};                          // from its arrival
  int64_t num_prompt_tokens = 0;
  int64_t num_completion_tokens = 0;  // of all choices
  int64_t max_completion_tokens = 0;  // of the longest choice
};

/// What part of an answer a token belongs to.
enum class AnswerPhase : int8_t { kReasoning, kContent, kTool };

/// Every number that a user may want, as `hadal_*` in Prometheus' text format. Labels come from
/// closed sets; the metrics exist from the beginning, at zero. Any thread.
class ServerMetrics {
 public:
  struct Info {
    std::string version;
    std::string model;  // the served name: the label `model` of all that is about it
    std::string cache_dtype;
    int64_t block_size = 0;
    int64_t num_blocks = 0;
    int64_t max_running_sequences = 0;
  };

  static std::unique_ptr<ServerMetrics> Create(const Info& info);
  virtual ~ServerMetrics() = default;
  ServerMetrics(const ServerMetrics&) = delete;
  ServerMetrics& operator=(const ServerMetrics&) = delete;

  // Requests.
  virtual void CountRequest(RouteName route, int32_t status, std::string_view finish_reason) = 0;
  virtual void CountRejection(RejectReason reason) = 0;
  virtual void ObserveGeneration(const GenerationTimes& times) = 0;
  virtual void ObserveInterTokenLatency(Duration latency) = 0;  // of one choice
  virtual void CountTokens(AnswerPhase phase, int64_t num_tokens) = 0;
  virtual void ChangeOpenStreams(int64_t change) = 0;
  virtual void ChangeInFlightBytes(int64_t change) = 0;
  virtual void CountDisconnect() = 0;   // a client went away before its response was complete
  virtual void CountSlowClient() = 0;   // was cut off
  virtual void CountUnknownTool() = 0;  // a model called a function that was not offered

  // Connections and threads.
  virtual void ChangeConnections(int64_t change) = 0;
  virtual void ObserveReactorStall(Duration delay) = 0;

  // The engine.
  virtual void ObserveStep(const StepReport& report) = 0;  // the scheduler's thread
  virtual void SetLoadTime(Duration duration) = 0;
  virtual void CountWatchdogTrip() = 0;

  /// All of it, in text format 0.0.4. Gauges that depend on the moment, such as the age of the last
  /// step, are made now.
  virtual std::string Serialize() = 0;

 protected:
  ServerMetrics() = default;
};

}  // namespace hadal
