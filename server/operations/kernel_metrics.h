#pragma once

#include <cstdint>
#include <map>
#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

namespace hadal {

/// hadal_kernel_info{op,implementation}, hadal_kernel_faults_total{op} and
/// hadal_kernel_demotions_total{op}. Ops are those of the kernel table: a closed set. Any thread.
class KernelMetrics final : public prometheus::Collectable {
 public:
  explicit KernelMetrics(std::string model) : model_(std::move(model)) {}

  /// {op, implementation}. Counts of ops that were there before stay.
  void SetKernels(const std::vector<std::pair<std::string, std::string>>& kernels);
  void CountFault(std::string_view op);
  void CountDemotion(std::string_view op);

  [[nodiscard]] std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  struct Kernel {
    std::string implementation;
    int64_t num_faults = 0;
    int64_t num_demotions = 0;
  };

  const std::string model_;
  mutable absl::Mutex mutex_;
  std::map<std::string, Kernel, std::less<>> kernels_ ABSL_GUARDED_BY(mutex_);  // by op
};

}  // namespace hadal
