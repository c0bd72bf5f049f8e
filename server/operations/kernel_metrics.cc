#include "server/operations/kernel_metrics.h"

namespace hadal {
namespace {

MetricFamily Family(const std::string& name, const std::string& help, MetricType type) {
  return {.name = name, .help = help, .type = type, .samples = {}};
}

}  // namespace

void KernelMetrics::SetKernels(std::function<std::vector<KernelHealth>()> kernels) {
  const absl::MutexLock lock(&mutex_);
  kernels_ = std::move(kernels);
}

std::vector<MetricFamily> KernelMetrics::Collect() const {
  MetricFamily info = Family(
      "hadal_kernel_info", "The implementation that runs an op; always 1.", MetricType::kGauge);
  MetricFamily faults = Family("hadal_kernel_faults_total",
                               "Steps in which an op alone gave numbers that are not finite.",
                               MetricType::kCounter);
  MetricFamily demotions =
      Family("hadal_kernel_demotions_total",
             "Times that an op was taken from its implementation and given to the reference.",
             MetricType::kCounter);
  const absl::MutexLock lock(&mutex_);
  for (const KernelHealth& kernel :
       kernels_ != nullptr ? kernels_() : std::vector<KernelHealth>()) {
    const std::string op(kernel.op);
    MetricSample& implementation = info.samples.emplace_back();
    implementation.labels = {
        {"model", model_}, {"op", op}, {"implementation", std::string(kernel.implementation)}};
    implementation.value = 1;
    MetricSample& fault = faults.samples.emplace_back();
    fault.labels = {{"model", model_}, {"op", op}};
    fault.value = static_cast<double>(kernel.num_faults);
    MetricSample& demotion = demotions.samples.emplace_back();
    demotion.labels = {{"model", model_}, {"op", op}};
    demotion.value = kernel.demoted ? 1 : 0;
  }
  return {std::move(info), std::move(faults), std::move(demotions)};
}

}  // namespace hadal
