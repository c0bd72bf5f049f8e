#include "server/operations/kernel_metrics.h"

namespace hadal {
namespace {

prometheus::MetricFamily Family(const std::string& name,
                                const std::string& help,
                                prometheus::MetricType type) {
  return {.name = name, .help = help, .type = type, .metric = {}};
}

}  // namespace

void KernelMetrics::SetKernels(std::function<std::vector<KernelHealth>()> kernels) {
  const absl::MutexLock lock(&mutex_);
  kernels_ = std::move(kernels);
}

std::vector<prometheus::MetricFamily> KernelMetrics::Collect() const {
  using prometheus::MetricType;
  prometheus::MetricFamily info = Family(
      "hadal_kernel_info", "The implementation that runs an op; always 1.", MetricType::Gauge);
  prometheus::MetricFamily faults =
      Family("hadal_kernel_faults_total",
             "Steps in which an op alone gave numbers that are not finite.",
             MetricType::Counter);
  prometheus::MetricFamily demotions =
      Family("hadal_kernel_demotions_total",
             "Times that an op was taken from its implementation and given to the reference.",
             MetricType::Counter);
  const absl::MutexLock lock(&mutex_);
  for (const KernelHealth& kernel :
       kernels_ != nullptr ? kernels_() : std::vector<KernelHealth>()) {
    const std::string op(kernel.op);
    prometheus::ClientMetric& implementation = info.metric.emplace_back();
    implementation.label = {
        {"model", model_}, {"op", op}, {"implementation", std::string(kernel.implementation)}};
    implementation.gauge.value = 1;
    prometheus::ClientMetric& fault = faults.metric.emplace_back();
    fault.label = {{"model", model_}, {"op", op}};
    fault.counter.value = static_cast<double>(kernel.num_faults);
    prometheus::ClientMetric& demotion = demotions.metric.emplace_back();
    demotion.label = {{"model", model_}, {"op", op}};
    demotion.counter.value = kernel.demoted ? 1 : 0;
  }
  return {std::move(info), std::move(faults), std::move(demotions)};
}

}  // namespace hadal
