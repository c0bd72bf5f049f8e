#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace hadal {

using MetricLabels = std::map<std::string, std::string>;

/// A sum that only grows. Any thread.
class Counter {
 public:
  /// REQUIRES: by >= 0.
  void Increment(double by = 1) { value_.fetch_add(by, std::memory_order_relaxed); }
  [[nodiscard]] double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_ = 0;
};

/// A number that goes up and down. Any thread.
class Gauge {
 public:
  void Set(double value) { value_.store(value, std::memory_order_relaxed); }
  void Increment(double by = 1) { value_.fetch_add(by, std::memory_order_relaxed); }
  void Decrement(double by = 1) { Increment(-by); }
  [[nodiscard]] double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_ = 0;
};

/// What a histogram counted.
struct HistogramCounts {
  std::vector<double> bounds;   // upper bounds of the buckets, each within it
  std::vector<int64_t> counts;  // [bounds.size() + 1], the last of what exceeds all bounds
  double sum = 0;
};

/// How often values fell between bounds. Any thread; a value that is counted while another thread
/// reads may be in the sum and not yet in its bucket.
class Histogram {
 public:
  /// REQUIRES: `bounds` rise.
  explicit Histogram(std::span<const double> bounds);

  void Observe(double value);
  [[nodiscard]] HistogramCounts Read() const;

 private:
  const std::vector<double> bounds_;
  std::vector<std::atomic<int64_t>> counts_;  // [bounds_.size() + 1]
  std::atomic<double> sum_ = 0;
};

enum class MetricType : int8_t { kCounter, kGauge, kHistogram };

/// One series at the time of a scrape.
struct MetricSample {
  MetricLabels labels;
  double value = 0;                // of a counter or gauge
  HistogramCounts histogram = {};  // of a histogram
};

struct MetricFamily {
  std::string name;
  std::string help;
  MetricType type = MetricType::kGauge;
  std::vector<MetricSample> samples = {};
};

/// What makes its families when it is asked, at each scrape. Any thread.
class Collectable {
 public:
  virtual ~Collectable() = default;
  [[nodiscard]] virtual std::vector<MetricFamily> Collect() const = 0;
};

/// Appends a family in the text format 0.0.4 of Prometheus
/// (https://prometheus.io/docs/instrumenting/exposition_formats).
void AppendText(const MetricFamily& family, std::string& text);

}  // namespace hadal
