#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/status.h"
#include "engine/api/executor.h"
#include "scheduler/limits.h"
#include "server/config/server_config.h"
#include "server/generation/served_model.h"
#include "server/operations/health.h"
#include "server/operations/server_metrics.h"

namespace hadal {

/// All of the server but the engine: the scheduler's loop around an executor, and HTTP and gRPC in
/// front. Serves from Start to its end. The order of an end:
///
///   server->AnnounceDrain();           // not ready: balancers look elsewhere
///   server->BeginDrain();              // new requests get 503
///   server->WaitUntilIdle(deadline);   // those taken are finished
///   server->Abort();                   // what is left ends with an error at once
///   server->WaitForStep(deadline);     // else the next line waits for the step
///   server.reset();
class Server {
 public:
  struct Args {
    const ServerConfig& config;
    const ServedModel& model;
    Executor& executor;
    Limits limits;  // what depends on the model: vocab_size, max_sequence_tokens, num_blocks; all
                    // else comes from the configuration
    const Clock& clock;
    Health& health;
    ServerMetrics& metrics;
    std::string version;
    std::function<void(Duration step_age)> on_stuck;  // on the watchdog's thread, once
  };

  /// The phase is kServing when it returns. Borrows all of `args` that are references.
  /// InvalidArgument for a bad configuration; the errors of SchedulerLoop::Create,
  /// HttpServer::Start and GrpcServer::Start.
  static absl::StatusOr<std::unique_ptr<Server>> Start(Args args);

  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  [[nodiscard]] uint16_t port() const;

  /// Nothing: gRPC is off.
  [[nodiscard]] std::optional<uint16_t> grpc_port() const;

  void AnnounceDrain();
  void BeginDrain();

  /// Waits until no request and no busy connection is left, or until `deadline`; whether none is.
  /// When draining, takes no more connections once no request is left, so that those who only come
  /// to be refused do not hold up the end.
  bool WaitUntilIdle(TimePoint deadline);

  /// The phase becomes kAborting: whoever waits for an answer gets an error. Any thread.
  void Abort();

  /// Waits until the step that is under way, if one is, has ended, or until `deadline`; whether it
  /// has. Any thread.
  [[nodiscard]] bool WaitForStep(TimePoint deadline) const;

 private:
  struct Parts;

  explicit Server(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
};

}  // namespace hadal
