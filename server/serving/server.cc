#include "server/serving/server.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include <absl/strings/str_format.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>

#include "base/checked_cast.h"
#include "base/thread_pool.h"
#include "scheduler/scheduler_loop.h"
#include "server/generation/admission.h"
#include "server/generation/generation.h"
#include "server/http/http_server.h"
#include "server/operations/auth.h"
#include "server/operations/watchdog.h"
#include "server/routes/openai_routes.h"
#include "server/routes/probe_routes.h"
#include "server/routes/router.h"
#include "server/serving/configuration.h"

namespace hadal {
namespace {

constexpr int32_t kMaxIoThreads = 8;
constexpr int32_t kCpusPerIoThread = 8;  // the others compute
constexpr absl::Duration kStepPollInterval = absl::Milliseconds(5);

int32_t NumIoThreads(const ServerConfig& config) {
  if (config.http.threads > 0) {
    return config.http.threads;
  }
  return std::clamp(NumUsableCpus() / kCpusPerIoThread, 1, kMaxIoThreads);
}

int64_t SecondsSince1970() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

HttpObserver Observe(ServerMetrics& metrics) {
  return {.connections = [&metrics](int64_t change) { metrics.ChangeConnections(change); },
          .client_gone = [&metrics] { metrics.CountDisconnect(); },
          .client_stalled = [&metrics] { metrics.CountSlowClient(); },
          .refused =
              [&metrics](int32_t status) { metrics.CountRequest(RouteName::kOther, status, ""); },
          .thread_was_busy = [&metrics](Duration delay) { metrics.ObserveReactorStall(delay); }};
}

}  // namespace

// In the order in which they are made; each may use those above it.
struct Server::Parts {
  Parts(const Args& server_args, ApiKeys server_keys, const Load& load_limits)
      : args(server_args),
        keys(std::move(server_keys)),
        admission(load_limits, args.clock, args.metrics) {}

  Args args;
  ApiKeys keys;
  Admission admission;
  std::unique_ptr<Watchdog> watchdog;  // told of steps by the loop, whose heartbeat it hears
  std::unique_ptr<SchedulerLoop> loop;
  std::optional<GenerationContext> generation;
  std::optional<OpenAiContext> openai;
  std::optional<Router> router;
  std::unique_ptr<HttpServer> http;

  // The watchdog's thread: who waits gets an error, while there is a process to send it.
  void EndStuck(Duration step_age) {
    args.metrics.CountWatchdogTrip();
    const double seconds = std::chrono::duration<double>(step_age).count();
    args.health.SetStuck(absl::StrFormat("a step has been under way for %.1f s", seconds));
    http->NotifyAll();
    args.on_stuck(step_age);
  }
};

absl::StatusOr<std::unique_ptr<Server>> Server::Start(Args args) {
  const ServerConfig& config = args.config;
  RETURN_IF_ERROR(ValidateServerConfig(config));
#ifdef NDEBUG
  // Debian's Abseil looks for cycles in the order of locks, at a price for every lock, and ends the
  // process when it finds one. That is for tests.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
#endif
  ASSIGN_OR_RETURN(ApiKeys keys, ReadApiKeys(config.security));
  const Limits limits = SchedulerLimits(config, args.limits);
  auto parts = std::make_unique<Parts>(args, std::move(keys), AdmissionLimits(config));

  // 1. The loop around the executor, and who watches it. There is no step before there are clients.
  ASSIGN_OR_RETURN(
      parts->loop,
      SchedulerLoop::Create(
          {.limits = limits,
           .executor = args.executor,
           .clock = args.clock,
           .observe =
               [parts = parts.get()](const StepReport& step) {
                 parts->args.metrics.ObserveStep(step);
                 parts->watchdog->ObserveStep(step.step_time);
               },
           .observe_idle = [&metrics = args.metrics](
                               const SchedulerCounts& counts) { metrics.ObserveIdle(counts); }}));
  parts->watchdog = Watchdog::Start(
      {.heartbeat = [parts = parts.get()] { return parts->loop->heartbeat(); },
       .clock = args.clock,
       .patience = SecondsToDuration(config.operations.watchdog_timeout),
       .on_stuck = [parts = parts.get()](Duration step_age) { parts->EndStuck(step_age); }});
  args.metrics.SetMoment([parts = parts.get()] {
    return ServerMoment{.step_age = parts->args.clock.Now() - parts->loop->heartbeat().since,
                        .queue_prefill_tokens = parts->admission.held().prompt_tokens};
  });
  // 2. What requests need.
  parts->generation.emplace(args.model,
                            *parts->loop,
                            args.clock,
                            args.metrics,
                            SharingOf(config.security),
                            SecondsToDuration(config.scheduling.request_timeout));
  parts->openai.emplace(
      OpenAiContext{.generation = *parts->generation,
                    .admission = parts->admission,
                    .health = args.health,
                    .limits = RequestLimits(config),
                    .keep_alive_interval = SecondsToDuration(config.http.keep_alive_interval),
                    .created = SecondsSince1970(),
                    .system_fingerprint = "hadal-" + args.version});
  parts->router.emplace(Router::Args{
      .keys = parts->keys,
      .metrics = args.metrics,
      .clock = args.clock,
      .retry_after_seconds = [parts = parts.get()] { return parts->admission.RetryAfterSeconds(); },
      .browsers = BrowserRulesOf(config.http, config.http.host),
      .logs_requests = config.operations.log_requests});
  AddOpenAiRoutes(*parts->openai, *parts->router);
  AddProbeRoutes(args.health, *parts->router);
  // 3. The listener comes last: who can connect is served.
  HttpServer::Args http = MakeHttpArgs(*parts->router);
  http.name = "io";
  http.address = config.http.host;
  http.port = CheckedCast<uint16_t>(config.http.port);
  http.num_threads = NumIoThreads(config);
  http.limits = HttpLimitsOf(config.http);
  http.tls = TlsOf(config.http);
  http.observer = Observe(args.metrics);
  ASSIGN_OR_RETURN(parts->http, HttpServer::Start(std::move(http)));
  return std::unique_ptr<Server>(new Server(std::move(parts)));
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

// The listener goes first: its connections use all else.
Server::~Server() {
  parts_->http.reset();
  parts_->args.metrics.SetMoment(nullptr);
  parts_->watchdog->Stop();
}

uint16_t Server::port() const {
  return parts_->http->port();
}

void Server::BeginDrain() {
  parts_->admission.BeginDrain();
  parts_->http->BeginDrain();
}

bool Server::WaitUntilIdle(TimePoint deadline) {
  if (parts_->args.health.phase() >= ServerPhase::kDraining &&
      parts_->admission.held().requests == 0) {
    parts_->http->StopAccepting();
  }
  return parts_->http->WaitUntilIdle(deadline);
}

void Server::Abort() {
  parts_->args.health.SetPhase(ServerPhase::kAborting);
  parts_->http->NotifyAll();
}

bool Server::WaitForStep(TimePoint deadline) const {
  const Clock& clock = parts_->args.clock;
  const TimePoint begin = clock.Now();
  while (true) {
    const Heartbeat heartbeat = parts_->loop->heartbeat();
    if (!heartbeat.in_step || heartbeat.since > begin) {
      return true;
    }
    if (clock.Now() >= deadline) {
      return false;
    }
    absl::SleepFor(kStepPollInterval);
  }
}

}  // namespace hadal
