#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace prometheus {
class Collectable;
class Counter;
class Gauge;
class Histogram;
class Registry;
}  // namespace prometheus

namespace hadal {

/// Whether a metric is about the model, and so carries the label `model`, or about the server.
enum class MetricScope : int8_t { kModel, kServer };

/// A metric family. Names end with their unit, those of counters with _total after it.
struct MetricFamilyName {
  std::string name;
  std::string help;
  MetricScope scope = MetricScope::kModel;
};

using MetricLabels = std::map<std::string, std::string>;

/// The metrics of one server: what is added lives as long as the registry. Adding the same family
/// again with other labels gives another series of it. Any thread.
class MetricRegistry {
 public:
  explicit MetricRegistry(const std::string& model);
  MetricRegistry(const MetricRegistry&) = delete;
  MetricRegistry& operator=(const MetricRegistry&) = delete;
  ~MetricRegistry();

  prometheus::Counter& AddCounter(const MetricFamilyName& family, const MetricLabels& labels);
  prometheus::Gauge& AddGauge(const MetricFamilyName& family, const MetricLabels& labels);

  /// `bounds` are the upper bounds of the buckets, rising, without infinity.
  prometheus::Histogram& AddHistogram(const MetricFamilyName& family,
                                      const MetricLabels& labels,
                                      std::span<const double> bounds);

  /// Borrows what makes its own families at each scrape. Before the first Serialize.
  void AddCollectable(const prometheus::Collectable& collectable);

  [[nodiscard]] const std::string& model() const { return model_; }

  /// Everything in text format 0.0.4.
  [[nodiscard]] std::string Serialize() const;

 private:
  [[nodiscard]] MetricLabels ConstantLabels(MetricScope scope) const;

  const std::string model_;
  const std::unique_ptr<prometheus::Registry> registry_;
  std::vector<const prometheus::Collectable*> collectables_;
};

}  // namespace hadal
