#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include "server/operations/metric.h"

namespace hadal {

/// Whether a metric is about the model, and so carries the label `model`, or about the server.
enum class MetricScope : int8_t { kModel, kServer };

/// A metric family. Names end with their unit, those of counters with _total after it.
struct MetricFamilyName {
  std::string name;
  std::string help;
  MetricScope scope = MetricScope::kModel;
};

/// The metrics of one server: what is added lives as long as the registry. Adding the same family
/// again with other labels gives another series of it. Any thread.
class MetricRegistry {
 public:
  explicit MetricRegistry(const std::string& model);
  MetricRegistry(const MetricRegistry&) = delete;
  MetricRegistry& operator=(const MetricRegistry&) = delete;

  Counter& AddCounter(const MetricFamilyName& family, const MetricLabels& labels);
  Gauge& AddGauge(const MetricFamilyName& family, const MetricLabels& labels);

  /// `bounds` are the upper bounds of the buckets, rising, without infinity.
  Histogram& AddHistogram(const MetricFamilyName& family,
                          const MetricLabels& labels,
                          std::span<const double> bounds);

  /// Borrows what makes its own families at each scrape. Before the first Serialize.
  void AddCollectable(const Collectable& collectable);

  [[nodiscard]] const std::string& model() const { return model_; }

  /// Everything in text format 0.0.4.
  [[nodiscard]] std::string Serialize() const;

 private:
  struct Series {
    template <typename Metric, typename... Args>
    Series(MetricLabels its_labels, std::in_place_type_t<Metric> type, Args&&... args)
        : labels(std::move(its_labels)), metric(type, std::forward<Args>(args)...) {}

    const MetricLabels labels;
    std::variant<Counter, Gauge, Histogram> metric;
  };
  struct Family {
    MetricFamilyName name;
    MetricType type;
    std::vector<std::unique_ptr<Series>> series;
  };

  template <typename Metric, typename... Args>
  Metric& Add(const MetricFamilyName& name,
              MetricType type,
              MetricLabels labels,
              const Args&... args);
  Family& FindOrAddFamily(const MetricFamilyName& name, MetricType type)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  [[nodiscard]] std::vector<MetricFamily> Collect() const;

  const std::string model_;
  mutable absl::Mutex mutex_;
  std::vector<Family> families_ ABSL_GUARDED_BY(mutex_);
  std::vector<const Collectable*> collectables_;
};

}  // namespace hadal
