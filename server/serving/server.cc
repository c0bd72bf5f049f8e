#include "server/serving/server.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include <absl/base/thread_annotations.h>
#include <absl/strings/str_format.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>

#include "base/checked_cast.h"
#include "base/cpu/allotment.h"
#include "scheduler/scheduler_loop.h"
#include "server/generation/admission.h"
#include "server/generation/generation.h"
#include "server/grpc/grpc_server.h"
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
  return std::clamp(NumRunningThreads(ReadCpuAllotment()) / kCpusPerIoThread, 1, kMaxIoThreads);
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

// In the order in which they are made; each may use those above it. Ends well however far it came.
struct Server::Parts {
  Parts(const Args& server_args, ApiKeys server_keys, const Load& load_limits)
      : args(server_args),
        keys(std::move(server_keys)),
        admission(load_limits, args.clock, args.metrics) {}
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

  // The listeners go first: their connections use all else. The loop goes with the members, and
  // until then tells the watchdog of steps; so that one only stops.
  ~Parts() {
    {
      const absl::MutexLock lock(&mutex);
      is_listening = false;
    }
    grpc.reset();
    http.reset();
    args.metrics.SetMoment(nullptr);
    if (watchdog != nullptr) {
      watchdog->Stop();
    }
  }

  Args args;
  ApiKeys keys;
  Admission admission;
  absl::Mutex mutex;
  SchedulerCounts counts ABSL_GUARDED_BY(mutex);     // as of the last step, or of now when idle
  bool is_listening ABSL_GUARDED_BY(mutex) = false;  // both listeners are there
  std::unique_ptr<Watchdog> watchdog;  // told of steps by the loop, whose heartbeat it hears
  std::unique_ptr<SchedulerLoop> loop;
  std::optional<GenerationContext> generation;
  std::optional<OpenAiContext> openai;
  std::optional<Router> router;
  std::unique_ptr<HttpServer> http;
  std::unique_ptr<GrpcServer> grpc;  // null: it is off

  absl::Status StartLoop(const Limits& limits);
  void MakeRoutes();
  absl::Status StartListeners();

  // The scheduler's thread.
  void ObserveStep(const StepReport& step) {
    args.metrics.ObserveStep(step);
    watchdog->ObserveStep(step.step_time);
    const absl::MutexLock lock(&mutex);
    counts = step.counts;
  }
  void ObserveIdle(const SchedulerCounts& now) {
    args.metrics.ObserveIdle(now);
    const absl::MutexLock lock(&mutex);
    counts = now;
  }

  // Any thread.
  SchedulerCounts LastCounts() {
    const absl::MutexLock lock(&mutex);
    return counts;
  }

  // Whoever waits for something looks at the phase again.
  void NotifyAll() {
    const absl::MutexLock lock(&mutex);
    if (!is_listening) {
      return;  // nobody does
    }
    http->NotifyAll();
    if (grpc != nullptr) {
      grpc->NotifyAll();
    }
  }

  // The watchdog's thread: who waits gets an error, while there is a process to send it.
  void EndStuck(Duration step_age) {
    args.metrics.CountWatchdogTrip();
    const double seconds = std::chrono::duration<double>(step_age).count();
    args.health.SetStuck(absl::StrFormat("a step has been under way for %.1f s", seconds));
    NotifyAll();
    args.on_stuck(step_age);
  }
};

// The loop around the executor, and who watches it.
absl::Status Server::Parts::StartLoop(const Limits& limits) {
  ASSIGN_OR_RETURN(loop,
                   SchedulerLoop::Create(
                       {.limits = limits,
                        .executor = args.executor,
                        .clock = args.clock,
                        .observe = [this](const StepReport& step) { ObserveStep(step); },
                        .observe_idle = [this](const SchedulerCounts& now) { ObserveIdle(now); }}));
  watchdog =
      Watchdog::Start({.heartbeat = [this] { return loop->heartbeat(); },
                       .clock = args.clock,
                       .patience = SecondsToDuration(args.config.operations.watchdog_timeout),
                       .on_stuck = [this](Duration step_age) { EndStuck(step_age); }});
  args.metrics.SetMoment([this] {
    return ServerMoment{.step_age = args.clock.Now() - loop->heartbeat().since,
                        .queue_prefill_tokens = admission.held().prompt_tokens};
  });
  return absl::OkStatus();
}

// What requests need, and which there are.
void Server::Parts::MakeRoutes() {
  const ServerConfig& config = args.config;
  generation.emplace(args.model, *loop, args.clock, args.metrics);
  generation->cache_sharing = SharingOf(config.security);
  generation->request_timeout = SecondsToDuration(config.scheduling.request_timeout);
  openai.emplace(
      OpenAiContext{.generation = *generation,
                    .admission = admission,
                    .health = args.health,
                    .limits = RequestLimits(config),
                    .keep_alive_interval = SecondsToDuration(config.http.keep_alive_interval),
                    .created = SecondsSince1970(),
                    .system_fingerprint = "hadal-" + args.version});
  router.emplace(
      Router::Args{.keys = keys,
                   .metrics = args.metrics,
                   .clock = args.clock,
                   .retry_after_seconds = [this] { return admission.RetryAfterSeconds(); },
                   .browsers = BrowserRulesOf(config.http, config.http.host),
                   .logs_requests = config.operations.log_requests});
  AddOpenAiRoutes(*openai, *router);
  AddProbeRoutes(args.health, *router);
}

absl::Status Server::Parts::StartListeners() {
  const ServerConfig& config = args.config;
  HttpServer::Args http_args = MakeHttpArgs(*router);
  http_args.name = "io";
  http_args.address = config.http.host;
  http_args.port = CheckedCast<uint16_t>(config.http.port);
  http_args.num_threads = NumIoThreads(config);
  http_args.limits = HttpLimitsOf(config.http);
  http_args.tls = TlsOf(config.http);
  http_args.observer = Observe(args.metrics);
  ASSIGN_OR_RETURN(http, HttpServer::Start(std::move(http_args)));
  if (config.grpc.port != 0) {
    ASSIGN_OR_RETURN(
        grpc,
        GrpcServer::Start(
            {.generation = *generation,
             .admission = admission,
             .health = args.health,
             .keys = keys,
             .limits = RequestLimits(config),
             .scheduler_counts = [this] { return LastCounts(); },
             .host = config.grpc.host,
             .port = CheckedCast<uint16_t>(config.grpc.port),
             .grpc_limits = {.stall_timeout = SecondsToDuration(config.http.stall_timeout)},
             .reflection = config.grpc.reflection ? Reflection::kOn : Reflection::kOff,
             .logs_requests = config.operations.log_requests}));
  }
  const absl::MutexLock lock(&mutex);
  is_listening = true;
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(Args args) {
  const ServerConfig& config = args.config;
  RETURN_IF_ERROR(ValidateServerConfig(config));
#ifdef NDEBUG
  // Debian's Abseil looks for cycles in the order of locks, at a price for every lock, and ends the
  // process when it finds one. That is for tests.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
#endif
  ASSIGN_OR_RETURN(ApiKeys keys, ReadApiKeys(config.security));
  Limits limits = SchedulerLimits(config, args.limits);
  // A request may name so many, and those of the model end its answer besides.
  limits.max_stop_token_ids =
      RequestLimits(config).max_stop_token_ids + std::ssize(args.model.answer_ends());
  auto parts = std::make_unique<Parts>(args, std::move(keys), AdmissionLimits(config));

  // There is no step before there are clients, and the listeners come last.
  RETURN_IF_ERROR(parts->StartLoop(limits));
  parts->MakeRoutes();
  RETURN_IF_ERROR(parts->StartListeners());
  args.health.SetPhase(ServerPhase::kServing);
  return std::unique_ptr<Server>(new Server(std::move(parts)));
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Server::~Server() = default;

uint16_t Server::port() const {
  return parts_->http->port();
}

std::optional<uint16_t> Server::grpc_port() const {
  return parts_->grpc != nullptr ? std::optional(parts_->grpc->port()) : std::nullopt;
}

void Server::AnnounceDrain() {
  parts_->args.health.SetPhase(ServerPhase::kDraining);
  parts_->NotifyAll();
}

void Server::BeginDrain() {
  parts_->admission.BeginDrain();
  parts_->http->BeginDrain();
  if (parts_->grpc != nullptr) {
    parts_->grpc->BeginDrain();
  }
}

bool Server::WaitUntilIdle(TimePoint deadline) {
  if (parts_->args.health.phase() >= ServerPhase::kDraining &&
      parts_->admission.held().requests == 0) {
    parts_->http->StopAccepting();
  }
  const bool http_is_idle = parts_->http->WaitUntilIdle(deadline);
  return (parts_->grpc == nullptr || parts_->grpc->WaitUntilIdle(deadline)) && http_is_idle;
}

void Server::Abort() {
  parts_->args.health.SetPhase(ServerPhase::kAborting);
  parts_->NotifyAll();
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
