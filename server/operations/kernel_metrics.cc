#include "server/operations/kernel_metrics.h"

namespace hadal {
namespace {

prometheus::MetricFamily Family(const std::string& name,
                                const std::string& help,
                                prometheus::MetricType type) {
  return {.name = name, .help = help, .type = type, .metric = {}};
}

}  // namespace

void KernelMetrics::SetKernels(const std::vector<std::pair<std::string, std::string>>& kernels) {
  const absl::MutexLock lock(&mutex_);
  for (const auto& [op, implementation] : kernels) {
    kernels_[op].implementation = implementation;
  }
}

void KernelMetrics::CountFault(std::string_view op) {
  const absl::MutexLock lock(&mutex_);
  ++kernels_[std::string(op)].num_faults;
}

void KernelMetrics::CountDemotion(std::string_view op) {
  const absl::MutexLock lock(&mutex_);
  ++kernels_[std::string(op)].num_demotions;
}

std::vector<prometheus::MetricFamily> KernelMetrics::Collect() const {
  using prometheus::MetricType;
  prometheus::MetricFamily info = Family(
      "hadal_kernel_info", "The implementation that runs an op; always 1.", MetricType::Gauge);
  prometheus::MetricFamily faults =
      Family("hadal_kernel_faults_total",
             "Times that an op failed or gave numbers that are not finite.",
             MetricType::Counter);
  prometheus::MetricFamily demotions =
      Family("hadal_kernel_demotions_total",
             "Times that an op was taken from its implementation and given to the reference.",
             MetricType::Counter);
  const absl::MutexLock lock(&mutex_);
  for (const auto& [op, kernel] : kernels_) {
    prometheus::ClientMetric& implementation = info.metric.emplace_back();
    implementation.label = {
        {"model", model_}, {"op", op}, {"implementation", kernel.implementation}};
    implementation.gauge.value = 1;
    prometheus::ClientMetric& fault = faults.metric.emplace_back();
    fault.label = {{"model", model_}, {"op", op}};
    fault.counter.value = static_cast<double>(kernel.num_faults);
    prometheus::ClientMetric& demotion = demotions.metric.emplace_back();
    demotion.label = {{"model", model_}, {"op", op}};
    demotion.counter.value = static_cast<double>(kernel.num_demotions);
  }
  return {std::move(info), std::move(faults), std::move(demotions)};
}

}  // namespace hadal
