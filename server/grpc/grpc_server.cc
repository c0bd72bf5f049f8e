#include "server/grpc/grpc_server.h"

#include <chrono>
#include <google/protobuf/stubs/logging.h>
#include <grpc/compression.h>
#include <grpc/support/log.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <utility>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/strings/str_cat.h>
#include <absl/synchronization/mutex.h>

#include "base/checked_cast.h"
#include "base/log.h"
#include "server/grpc/grpc_context.h"
#include "server/grpc/inference_service.h"
#include "server/grpc/key_check.h"

namespace hadal {
namespace {

constexpr const char* kInferenceService = "hadal.v1.Inference";
constexpr int32_t kMaxReflectionThreads = 4;  // each stream of reflection takes one

int Milliseconds(Duration duration) {
  return CheckedCast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

// What gRPC itself has to say becomes lines of our log.
void LogForGrpc(gpr_log_func_args* args) {
  const LogLevel level = args->severity == GPR_LOG_SEVERITY_ERROR  ? LogLevel::kWarning
                         : args->severity == GPR_LOG_SEVERITY_INFO ? LogLevel::kInfo
                                                                   : LogLevel::kDebug;
  Log(level, "grpc", {{"detail", args->message}});
}

// Linking reflection adds it to every server of the process: this leaves it to the option.
class ReflectionOption final : public grpc::ServerBuilderOption {
 public:
  explicit ReflectionOption(Reflection reflection) : reflection_(reflection) {}

  void UpdateArguments(grpc::ChannelArguments* /*arguments*/) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    plugins->clear();
    if (reflection_ == Reflection::kOn) {
      plugins->push_back(std::make_unique<grpc::reflection::ProtoServerReflectionPlugin>());
    }
  }

 private:
  Reflection reflection_;
};

void SetLimits(const GrpcLimits& limits, grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(CheckedCast<int>(limits.max_message_bytes));
  // A compressed message may be a thousand times as large as it looks.
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE,
                             CheckedCast<int>(limits.max_metadata_bytes));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, limits.max_streams_per_connection);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             Milliseconds(limits.min_ping_interval));
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 2);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(limits.keepalive_time));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(limits.keepalive_timeout));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, Milliseconds(limits.idle_timeout));
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // a port that is taken is an error
  grpc::ResourceQuota quota("hadal");
  quota.Resize(CheckedCast<size_t>(limits.max_memory_bytes));
  quota.SetMaxThreads(kMaxReflectionThreads);
  builder.SetResourceQuota(quota);
}

std::string AddressOf(const std::string& host, uint16_t port) {
  const bool is_ipv6 = host.find(':') != std::string::npos && !host.starts_with('[');
  return absl::StrCat(is_ipv6 ? "[" : "", host, is_ipv6 ? "]:" : ":", port);
}

// Tells gRPC's health service what Health says. Health's listener keeps it, longer than the server
// lives.
class HealthTeller {
 public:
  HealthTeller(const Health& health, std::shared_ptr<StreamEvents> events)
      : health_(health), events_(std::move(events)) {}

  void Begin(grpc::HealthCheckServiceInterface& service) {
    const absl::MutexLock lock(&mutex_);
    service_ = &service;
    TellLocked();
  }
  void End() {
    const absl::MutexLock lock(&mutex_);
    service_ = nullptr;
  }
  void BeginDrain() {
    const absl::MutexLock lock(&mutex_);
    is_draining_ = true;
    TellLocked();
  }

  // Health has changed: streams may have to end.
  void Tell() {
    const absl::MutexLock lock(&mutex_);
    TellLocked();
    events_->PushTick();
  }

 private:
  // The lock keeps an older state from being told after a newer one.
  void TellLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (service_ == nullptr) {
      return;
    }
    constexpr bool kVerbose = true;
    const bool is_serving = !is_draining_ && health_.Ready(!kVerbose).ok;
    service_->SetServingStatus("", is_serving);
    service_->SetServingStatus(kInferenceService, is_serving);
  }

  const Health& health_;
  const std::shared_ptr<StreamEvents> events_;
  absl::Mutex mutex_;
  grpc::HealthCheckServiceInterface* service_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool is_draining_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace

// In the order in which they are made; each may use those above it.
struct GrpcServer::Parts {
  explicit Parts(const Args& args)
      : context{.generation = args.generation,
                .admission = args.admission,
                .health = args.health,
                .keys = args.keys,
                .limits = args.limits,
                .stall_timeout = args.grpc_limits.stall_timeout,
                .logs_requests = args.logs_requests,
                .scheduler_counts = args.scheduler_counts,
                .calls = calls,
                .worker = worker} {}

  LiveCalls calls;
  StreamWorker worker;
  GrpcContext context;
  std::unique_ptr<grpc::Service> service;
  std::shared_ptr<HealthTeller> health_teller;
  int port = 0;
  std::unique_ptr<grpc::Server> server;
};

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(const Args& args) {
  // Clients are told what is wrong with their messages; protobuf would say it on stderr besides.
  google::protobuf::SetLogHandler(nullptr);
  gpr_set_log_function(LogForGrpc);
  grpc::EnableDefaultHealthCheckService(true);
  auto parts = std::make_unique<Parts>(args);
  parts->service = NewInferenceService(parts->context);
  const std::string address = AddressOf(args.host, args.port);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, KeyCheckCredentials(args.keys), &parts->port);
  builder.RegisterService(parts->service.get());
  builder.SetOption(std::make_unique<ReflectionOption>(args.reflection));
  SetLimits(args.grpc_limits, builder);
  parts->server = builder.BuildAndStart();
  if (parts->server == nullptr || parts->port == 0) {
    return Unavailable("cannot listen on %s", address);
  }
  parts->health_teller = std::make_shared<HealthTeller>(args.health, parts->worker.events());
  args.health.AddListener([teller = parts->health_teller] { teller->Tell(); });
  parts->health_teller->Begin(*parts->server->GetHealthCheckService());
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(parts)));
}

GrpcServer::GrpcServer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

// gRPC cancels what is live and waits until its last word of every call is said, which the worker
// has to hear.
GrpcServer::~GrpcServer() {
  parts_->health_teller->End();
  parts_->server->Shutdown(std::chrono::system_clock::now());
}

uint16_t GrpcServer::port() const {
  return CheckedCast<uint16_t>(parts_->port);
}

void GrpcServer::BeginDrain() {
  parts_->health_teller->BeginDrain();
}

void GrpcServer::NotifyAll() {
  parts_->worker.events()->PushTick();
}

bool GrpcServer::WaitUntilIdle(TimePoint deadline) {
  return parts_->calls.WaitUntilNone(absl::FromChrono(deadline - SteadyClock().Now()));
}

}  // namespace hadal
