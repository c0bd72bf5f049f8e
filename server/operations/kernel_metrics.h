#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include "engine/api/kernel_health.h"
#include "server/operations/metric.h"

namespace hadal {

/// hadal_kernel_info{op,implementation}, hadal_kernel_faults_total{op} and
/// hadal_kernel_demotions_total{op}, asked for at each scrape. Any thread.
class KernelMetrics final : public Collectable {
 public:
  explicit KernelMetrics(std::string model) : model_(std::move(model)) {}

  /// Null: no kernels. When this returns nobody is in the function that was there before.
  void SetKernels(std::function<std::vector<KernelHealth>()> kernels);

  [[nodiscard]] std::vector<MetricFamily> Collect() const override;

 private:
  const std::string model_;
  mutable absl::Mutex mutex_;
  std::function<std::vector<KernelHealth>()> kernels_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace hadal
