#include "server/operations/server_metrics.h"

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include "server/operations/expert_metrics.h"
#include "server/operations/kernel_metrics.h"
#include "server/operations/metric_registry.h"
#include "server/operations/process_metrics.h"
#include "server/operations/request_metrics.h"
#include "server/operations/step_metrics.h"

namespace hadal {
namespace {

class PrometheusMetrics final : public ServerMetrics {
 public:
  explicit PrometheusMetrics(const Info& info)
      : registry_(info.model),
        requests_(registry_),
        steps_(registry_, info),
        experts_(info.model),
        kernels_(info.model) {
    registry_.AddCollectable(kernels_);
    registry_.AddCollectable(process_);
    registry_
        .AddGauge({.name = "hadal_build_info",
                   .help = "The version of Hadal; always 1.",
                   .scope = MetricScope::kServer},
                  {{"version", info.version}})
        .Set(1);
    registry_
        .AddGauge({.name = "hadal_model_info", .help = "The model that is served; always 1."}, {})
        .Set(1);
  }

  void SetCache(const CacheInfo& cache) override { steps_.SetCache(cache); }
  void SetExperts(const ExpertShape& shape) override { experts_.SetShape(shape); }
  void SetLoadTime(Duration duration) override { steps_.SetLoadTime(duration); }

  void SetMoment(std::function<ServerMoment()> moment) override {
    const absl::MutexLock lock(&moment_mutex_);
    moment_ = std::move(moment);
  }

  void CountRequest(RouteName route, int32_t status, std::string_view finish_reason) override {
    requests_.CountRequest(route, status, finish_reason);
  }
  void CountRejection(RejectReason reason) override { requests_.CountRejection(reason); }
  void ObserveGeneration(const GenerationTimes& times) override {
    requests_.ObserveGeneration(times);
  }
  void ObserveInterTokenLatency(Duration latency) override {
    requests_.ObserveInterTokenLatency(latency);
  }
  void CountTokens(AnswerPhase phase, int64_t num_tokens) override {
    requests_.CountTokens(phase, num_tokens);
  }
  void ChangeOpenStreams(int64_t change) override { requests_.ChangeOpenStreams(change); }
  void ChangeInFlightBytes(int64_t change) override { requests_.ChangeInFlightBytes(change); }
  void CountDisconnect() override { requests_.CountDisconnect(); }
  void CountSlowClient() override { requests_.CountSlowClient(); }
  void ChangeConnections(int64_t change) override { requests_.ChangeConnections(change); }
  void ObserveReactorStall(Duration delay) override { requests_.ObserveReactorStall(delay); }

  void ObserveStep(const StepReport& report) override {
    steps_.ObserveStep(report);
    if (report.stats != nullptr) {
      experts_.Observe(report.stats->expert_tokens);
    }
  }
  void ObserveIdle(const SchedulerCounts& counts) override { steps_.ObserveIdle(counts); }
  void CountWatchdogTrip() override { steps_.CountWatchdogTrip(); }

  void SetKernels(std::function<std::vector<KernelHealth>()> kernels) override {
    kernels_.SetKernels(std::move(kernels));
  }

  std::string Serialize() override {
    {
      const absl::MutexLock lock(&moment_mutex_);
      if (moment_ != nullptr) {
        steps_.SetMoment(moment_());
      }
    }
    std::string text = registry_.Serialize();
    experts_.AppendText(text);
    return text;
  }

 private:
  MetricRegistry registry_;
  RequestMetrics requests_;
  StepMetrics steps_;
  ExpertMetrics experts_;
  KernelMetrics kernels_;
  ProcessMetrics process_;
  absl::Mutex moment_mutex_;
  std::function<ServerMoment()> moment_ ABSL_GUARDED_BY(moment_mutex_);
};

}  // namespace

std::string_view NameOf(RouteName route) {
  switch (route) {
    case RouteName::kChatCompletions:
      return "chat_completions";
    case RouteName::kCompletions:
      return "completions";
    case RouteName::kModels:
      return "models";
    case RouteName::kTokenize:
      return "tokenize";
    case RouteName::kDetokenize:
      return "detokenize";
    case RouteName::kGrpcGenerate:
      return "grpc_generate";
    case RouteName::kGrpcChat:
      return "grpc_chat";
    case RouteName::kGrpcOther:
      return "grpc_other";
    case RouteName::kProbe:
      return "probe";
    case RouteName::kMetrics:
      return "metrics";
    case RouteName::kOther:
      return "other";
  }
  return "";
}

std::unique_ptr<ServerMetrics> ServerMetrics::Create(const Info& info) {
  return std::make_unique<PrometheusMetrics>(info);
}

}  // namespace hadal
