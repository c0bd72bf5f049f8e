#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/status.h"
#include "scheduler/scheduler.h"
#include "server/generation/admission.h"
#include "server/generation/generation.h"
#include "server/generation/generation_params.h"
#include "server/operations/auth.h"
#include "server/operations/health.h"

namespace hadal {

/// What clients can make the server hold.
struct GrpcLimits {
  int64_t max_metadata_bytes = 16 << 10;  // of a call
  int64_t max_message_bytes = 8 << 20;    // of a request; compressed ones are refused
  int32_t max_streams_per_connection = 256;
  int64_t max_memory_bytes = 512 << 20;  // of gRPC's buffers; beyond, calls are refused
  Duration min_ping_interval = std::chrono::seconds(10);  // who pings more often is disconnected
  Duration keepalive_time = std::chrono::seconds(30);     // quiet connections are pinged after
  Duration keepalive_timeout = std::chrono::seconds(10);  // and closed, so long without an answer
  Duration idle_timeout = std::chrono::seconds(600);      // connections without calls are closed
  Duration stall_timeout = std::chrono::seconds(30);      // a client takes nothing of what is there
};

/// Whether clients may ask which methods and messages there are.
enum class Reflection : int8_t { kOff, kOn };

/// gRPC: hadal.v1.Inference, grpc.health.v1.Health and, by option, reflection. Without TLS. Serves
/// from Start to its end; the order of an end is that of HttpServer:
///
///   server->BeginDrain();              // health says NOT_SERVING; Admission refuses
///   server->WaitUntilIdle(deadline);   // calls taken are finished
///   health.SetPhase(kAborting);        // what is left ends with UNAVAILABLE at once
///   server.reset();                    // what is left is cut off
///
/// What health's clients are told follows Health by itself. Every call but health's needs a key, if
/// there are keys, before anything else is looked at.
class GrpcServer {
 public:
  struct Args {
    const GenerationContext& generation;
    Admission& admission;
    Health& health;  // keeps a listener for good
    const ApiKeys& keys;
    GenerationLimits limits;
    std::function<SchedulerCounts()> scheduler_counts;  // how things stood lately; any thread
    std::string host;                                   // a name or an address
    uint16_t port = 0;                                  // 0: any that is free
    GrpcLimits grpc_limits;
    Reflection reflection = Reflection::kOn;
    bool logs_requests = true;  // one line for each
  };

  /// Borrows all of `args` that are references. Unavailable when the port cannot be had.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(const Args& args);

  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;
  ~GrpcServer();

  [[nodiscard]] uint16_t port() const;

  /// From now on health says NOT_SERVING. Any thread.
  void BeginDrain();

  /// Wakes all streams, to look whether the server is aborting. Any thread.
  void NotifyAll();

  /// Waits until no call of Inference is live, or until `deadline`; whether none is.
  bool WaitUntilIdle(TimePoint deadline);

 private:
  struct Parts;

  explicit GrpcServer(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
};

}  // namespace hadal
