#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "server/generation/generation.h"
#include "server/operations/health.h"
#include "server/routes/call.h"

namespace hadal {

/// How an answer becomes bytes of a stream.
struct EventWriter {
  std::function<void(std::string& events)> begin;  // appends what comes before all else; or null
  std::function<void(const ChoiceDelta& delta, std::string& events)> append;
  std::function<void(const Usage& usage, std::string& events)> end;
};

/// Carries what generations produce to their client, until they or the client end. Generation g has
/// choices [g * n, (g + 1) * n) of the answer. One coroutine.
class AnswerPump {
 public:
  struct Args {
    Call& call;
    std::vector<std::unique_ptr<Generation>> generations;  // at least one, each with n choices
    int32_t n;
    const Clock& clock;
    const Health& health;
    ServerMetrics& metrics;
    Duration keep_alive_interval;  // between comments on a stream that waits
  };

  explicit AnswerPump(Args args) : args_(std::move(args)) {}

  /// Streams events as they come. The head is sent with the first of them, or when there is nothing
  /// to send for the keep-alive interval: until then a failure is a status of its own, and
  /// returned; afterwards it is the stream's last event.
  absl::Status Stream(const EventWriter& writer);

  /// All deltas, in order, once all generations have ended. Cancelled when the client is gone.
  absl::StatusOr<std::vector<ChoiceDelta>> Collect();

  [[nodiscard]] Usage usage() const;

 private:
  enum class Progress : int8_t { kMore, kDone };

  absl::StatusOr<Progress> Read(std::vector<ChoiceDelta>& deltas);
  bool Send(std::string& events);
  void FillCall();

  Args args_;
};

}  // namespace hadal
